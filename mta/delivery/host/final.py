"""The ends of local delivery: mailbox, file, command, another transport, or nobody (local(8))."""

from __future__ import annotations

import logging
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mta.config.expand import ExpandError, expand
from mta.delivery.host import command as commands
from mta.delivery.host import mailbox as mailboxes
from mta.delivery.host import maildir
from mta.delivery.host.copy import COMMAND, MAILDIR, MBOX, Form, copied, without_delivered
from mta.delivery.host.mailbox import Target
from mta.delivery.host.report import Handover
from mta.delivery.host.rights import CannotBecome, ChildFailed, Rights, User, act_as, user_named
from mta.delivery.host.state import CONFIGURATION, Delivery, Names, State
from mta.tables import Maps, TableError

if TYPE_CHECKING:
    from mta.delivery.host.local import Local

logger = logging.getLogger("postfix.local")

CLIENT = {
    "CLIENT_HOSTNAME": "client_name",
    "CLIENT_ADDRESS": "client_address",
    "CLIENT_HELO": "helo_name",
    "CLIENT_PROTOCOL": "protocol_name",
    "SASL_METHOD": "sasl_method",
    "SASL_SENDER": "sasl_sender",
    "SASL_USERNAME": "sasl_username",
}
"""Environment variable: attribute of the message."""


async def _act(delivery: Delivery, state: State, rights: Rights, work: Callable[[], Any], size: int = 0) -> Any:
    """What the child says, or None with the failure noted."""
    try:
        return await act_as(rights, work, file_limit=size)
    except CannotBecome as error:
        logger.warning("%s", error)
        delivery.note(state, "4.3.5", str(error))
    except (ChildFailed, OSError) as error:
        delivery.note(state, "4.3.0", f"delivery failed: {error}")
    return None


def _only_asked(delivery: Delivery, state: State, where: str) -> bool:
    """Whether the message is a probe of verify(8): it learns where mail would go, and goes nowhere."""
    if delivery.request.message.is_probe:
        delivery.note(state, "2.0.0", f"delivers to {where}")
        return True
    return False


def _copied(local: Local, delivery: Delivery, state: State, form: Form, kind: str) -> bytes:
    if kind not in local.settings.delivered_header:
        form = without_delivered(form)
    delivered = state.delivered if local.settings.frozen_delivered or kind == "command" else state.address
    original = state.recipient.original
    return copied(
        delivery.content, form, sender=state.sender, original=original, delivered=delivered, now=local.clock()
    )


# --- mailbox ---------------------------------------------------------------------------------------------------------


async def home_is_missing(local: Local, delivery: Delivery, state: State) -> bool:
    """require_home_directory: mail waits while the user's home is away."""
    if not local.settings.require_home or (user := user_named(state.user)) is None:
        return False
    there = await _act(delivery, state, user.rights, lambda: Path(user.home).is_dir())
    if there is False:
        delivery.note(state, "4.3.0", f"cannot access home directory {user.home}: No such file or directory")
    return not there


async def mailbox(local: Local, delivery: Delivery, state: State) -> bool:
    """Deliver into the user's mailbox, wherever the configuration has it; False if there is no such user."""
    settings, state = local.settings, state.deeper()
    if delivery.been_here("mailbox", state.local):
        return True
    if await _passed_on(delivery, state, settings.mailbox_transports, settings.mailbox_transport):
        return True
    user = user_named(state.user)
    if user is None:
        return False
    state = replace(state, rights=user)
    try:
        line = await settings.mailbox_commands.lookup(state.user) or settings.mailbox_command
    except TableError:
        delivery.note(state, "4.3.0", "table lookup failure")
        return True
    if line:
        await command(local, delivery, state, line)
    elif settings.home_mailbox.endswith("/"):
        await _maildir(local, delivery, state, user.rights, f"{user.home}/{settings.home_mailbox}")
    elif settings.home_mailbox:
        await _mailbox_file(local, delivery, state, user, f"{user.home}/{settings.home_mailbox}", user.rights)
    elif settings.spool.endswith("/"):
        await _maildir(local, delivery, state, user.rights, f"{settings.spool}{state.user}/")
    else:
        opener = _spool_rights(settings.spool, user.rights)
        await _mailbox_file(local, delivery, state, user, f"{settings.spool}/{state.user}", opener)
    return True


def _spool_rights(spool: str, rights: Rights) -> Rights:
    """Who opens and locks in the spool directory: the recipient where he may, else root (deliver_mailbox_file)."""
    try:
        status = Path(spool).stat()
    except OSError:
        return rights
    if status.st_mode & stat.S_IWOTH:
        return rights
    if status.st_mode & stat.S_IWGRP:
        return Rights(rights.uid, status.st_gid)
    return Rights(0, 0)


async def _mailbox_file(local: Local, delivery: Delivery, state: State, user: User, path: str, opener: Rights) -> None:
    settings = local.settings
    if _only_asked(delivery, state, "mailbox"):
        return
    octets = _copied(local, delivery, state, MBOX, "file")
    target = Target(path, user.rights, owned=settings.strict_ownership)
    told = await _act(
        delivery,
        state,
        opener,
        lambda: [mailboxes.append(target, octets, settings.locking)],
        settings.size_limit,
    )
    if told is None:
        return
    verdict = told[0]
    if verdict:
        status, reason = verdict
        delivery.note(state, status, f"cannot update mailbox {path} for user {state.user}. {reason}")
    else:
        delivery.note(state, "2.0.0", "delivered to mailbox")


async def _maildir(local: Local, delivery: Delivery, state: State, rights: Rights, path: str) -> None:
    if _only_asked(delivery, state, "maildir"):
        return
    octets = _copied(local, delivery, state, MAILDIR, "file")
    told = await _act(
        delivery, state, rights, lambda: [maildir.deliver(path, octets, "5.2.0")], local.settings.size_limit
    )
    if told is None:
        return
    if told[0]:
        delivery.note(state, *told[0])
    else:
        delivery.note(state, "2.0.0", "delivered to maildir")


# --- file and command ------------------------------------------------------------------------------------------------


def _acting_rights(local: Local, state: State) -> Rights:
    """Never root's: default_privs stand in for them."""
    rights = state.rights.rights if state.rights else None
    default = local.settings.default.rights
    if rights is None or rights.uid == 0:
        return default
    return Rights(rights.uid, rights.gid or default.gid)


async def file(local: Local, delivery: Delivery, state: State, path: str) -> None:
    """Append to a file that an alias or a .forward file names; a maildir if the name ends in `/`."""
    state = state.deeper()
    rights = _acting_rights(local, state)
    if delivery.been_here("file", rights.uid, path):
        return
    if state.kind not in local.settings.to_files:
        delivery.note(state, "5.7.1", "mail to file is restricted")
        return
    if path.endswith("/"):
        await _maildir(local, delivery, state, rights, path)
        return
    if _only_asked(delivery, state, f"file: {path}"):
        return
    octets = _copied(local, delivery, state, MBOX, "file")
    target = Target(path, rights, regular=False)
    locking = local.settings.locking
    told = await _act(
        delivery, state, rights, lambda: [mailboxes.append(target, octets, locking)], local.settings.size_limit
    )
    if told is None:
        return
    if told[0]:
        status, reason = told[0]
        delivery.note(state, status, f"cannot append message to file {path}: {reason}")
    else:
        delivery.note(state, "2.0.0", f"delivered to file: {path}")


async def command(local: Local, delivery: Delivery, state: State, line: str) -> None:
    """Hand the message to a command."""
    settings, state = local.settings, state.deeper()
    rights = _acting_rights(local, state)
    if delivery.been_here("command", state.user, rights.uid, line) or _only_asked(delivery, state, f"command: {line}"):
        return
    try:
        lookup = Names(state, settings.delimiters).lookup
        directory = expand(settings.directory, lookup, recurse=False, allowed=settings.directory_characters)
    except ExpandError as error:
        logger.warning("command_execution_directory: %s", error)
        delivery.note(state, "4.3.5", CONFIGURATION)
        return
    wanted = commands.Command(
        argv=commands.vector(line, settings.shell),
        text=line,
        environment=_environment(local, delivery, state),
        directory=directory,
        time_limit=settings.time_limit,
    )
    octets = _copied(local, delivery, state, COMMAND, "command")
    told = await _act(delivery, state, rights, lambda: list(commands.run(wanted, octets)))
    if told is None:
        return
    verdict, _ = told
    if verdict:
        delivery.note(state, *verdict)
    else:
        delivery.note(state, "2.0.0", f"delivered to command: {line}")


def _environment(local: Local, delivery: Delivery, state: State) -> dict[str, str]:
    message, user, recipient = delivery.request.message, state.rights, state.recipient
    told = {
        "HOME": user.home if user else "",
        "LOGNAME": state.user,
        "USER": state.user,
        "SENDER": state.sender,
        "RECIPIENT": state.address,
        "LOCAL": state.local,
        "SHELL": user.shell if user else "",
        "DOMAIN": state.domain,
        "EXTENSION": state.extension[1:],
        "ORIGINAL_RECIPIENT": recipient.original,
        **{name: message.attributes.get(attribute, "") for name, attribute in CLIENT.items()},
    }
    always = ("LOGNAME", "USER", "SENDER", "RECIPIENT", "LOCAL")
    allowed = frozenset(local.settings.command_characters)
    censored = {
        name: "".join(c if c in allowed else "_" for c in value)
        for name, value in told.items()
        if value or name in always
    }
    return {**local.settings.environment, **censored}


# --- elsewhere, or nowhere -------------------------------------------------------------------------------------------


async def _passed_on(delivery: Delivery, state: State, maps: Maps, target: str) -> bool:
    """Whether another transport is responsible, by user or for all."""
    try:
        chosen = await maps.lookup(state.user) or target
    except TableError:
        delivery.note(state, "4.3.0", "table lookup failure")
        return True
    if not chosen:
        return False
    delivery.report.handovers.append(Handover(chosen, state.address))
    return True


async def unknown(local: Local, delivery: Delivery, state: State) -> None:
    """Nobody has that name: fallback_transport, luser_relay, or the mail goes back."""
    settings, state = local.settings, state.deeper()
    if delivery.been_here("unknown", state.local):
        return
    if await _passed_on(delivery, state, settings.fallback_transports, settings.fallback_transport):
        return
    refusal = f'unknown user: "{state.user}"'
    if settings.luser_relay:
        state = replace(state, unmatched="")
        address = expand(settings.luser_relay, Names(state, settings.delimiters).lookup, recurse=False)
        if local.rewriter.rewrite(address).casefold() == state.address.casefold():
            delivery.note(state, "5.1.1", refusal)
        else:
            await local.resolve(delivery, state, address)
        return
    if state.user in ("mailer-daemon", "postmaster"):
        logger.warning("required alias not found: %s", state.user)
        delivery.note(state, "2.0.0", "discarded")
        return
    delivery.note(state, "5.1.1", refusal)
