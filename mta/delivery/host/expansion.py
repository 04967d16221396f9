"""What a name stands for: aliases(5), .forward files, :include: files, luser_relay (local(8))."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from mta.address import quote_822
from mta.config.expand import ExpandError, expand
from mta.delivery.host import final
from mta.delivery.host.destinations import INCLUDE, TooMany, destinations, lines
from mta.delivery.host.rights import CannotBecome, ChildFailed, Rights, User, act_as, user_named, user_numbered
from mta.delivery.host.state import CONFIGURATION, MAX_LEVEL, Delivery, Names, State, without_success
from mta.queue.message import Notify
from mta.tables import TableError

if TYPE_CHECKING:
    from mta.delivery.host.local import Local
    from mta.delivery.host.localsettings import AliasTable

logger = logging.getLogger("postfix.local")

MAX_FILE: Final = 512 * 1024
"""Octets of a .forward or :include: file."""


# --- aliases ---------------------------------------------------------------------------------------------------------


async def alias(local: Local, delivery: Delivery, state: State, name: str) -> bool:
    """Expand an alias; False if there is none, or if it is being expanded already."""
    state = state.deeper()
    if state.expanding and state.expanding == name:
        return False
    if state.level > MAX_LEVEL:
        logger.warning("alias database loop for %s", name)
        delivery.note(state, "5.4.6", f"alias database loop for {name}")
        return True
    for table in local.settings.aliases:
        try:
            value = await _looked_up(table, name)
        except TableError as error:
            logger.warning("%s", error)
            delivery.note(state, "4.3.0", "alias database unavailable")
            return True
        if value is not None:
            await _expand_alias(local, delivery, replace(state, expanding=name, kind="alias"), table, name, value)
            return True
    return False


async def _looked_up(table: AliasTable, name: str) -> str | None:
    quoted = quote_822(name, bare=True)
    found = await table.table.lookup(quoted)
    return found if found is not None or quoted == name else await table.table.lookup(name)


async def _expand_alias(
    local: Local, delivery: Delivery, state: State, table: AliasTable, name: str, value: str
) -> None:
    settings = local.settings
    if not table.owner_known:
        logger.warning("cannot find alias database owner for %s", table.table.name)
        delivery.note(state, "4.3.0", "cannot find alias database owner")
        return
    state = replace(state, rights=user_numbered(table.owner.uid) if table.owner else None)
    try:
        owner = await _owner(local, name)
    except TableError:
        delivery.note(state, "4.3.0", "alias database unavailable")
        return
    notify = state.recipient.notify
    if owner:
        # A list, not an alias: nobody is told of the original recipient. RET and ENVID go on, as in Postfix 3.7;
        # RFC 3461 section 5.2.7.2 would keep them back.
        anonymous = replace(state.recipient, original="", orcpt="")
        state = replace(state, recipient=anonymous, sender=owner, owner=owner)
    elif settings.reset_owner:
        state = replace(state, owner="")
    if not settings.frozen_delivered:
        state = replace(state, delivered=state.address)
    expanded = _with_notify(state, without_success(notify))
    try:
        found = destinations(value)
    except TooMany as error:
        delivery.note(state, "5.4.6", str(error))
        return
    await each(local, delivery, expanded, found)
    if not found:
        logger.warning("no recipient in alias lookup result for %s", name)
        delivery.note(state, "4.3.0", "alias database unavailable")
    elif notify & Notify.SUCCESS:
        delivery.tell_expanded("delivered" if owner else "expanded")


async def _owner(local: Local, name: str) -> str:
    """The owner- alias of a list, as the sender of what it sends; empty if it has none."""
    if not local.settings.owner_special:
        return ""
    owner = f"owner-{name}"
    for table in local.settings.aliases:
        value = await table.table.lookup(owner)
        if value is not None:
            found = destinations(value) if local.settings.expand_owner else [owner]
            return local.rewriter.rewrite(found[0]) if found else ""
    return ""


def _with_notify(state: State, notify: Notify) -> State:
    return replace(state, recipient=replace(state.recipient, notify=notify))


# --- destinations ----------------------------------------------------------------------------------------------------


async def each(local: Local, delivery: Delivery, state: State, found: Sequence[str]) -> None:
    """Deliver to every destination of an expansion."""
    for destination in found:
        await _destination(local, delivery, state, destination)


async def _destination(local: Local, delivery: Delivery, state: State, text: str) -> None:
    if text.startswith("/"):
        await final.file(local, delivery, state, text)
    elif text.startswith("~"):
        home = state.rights.home if state.rights else ""
        if not text.startswith("~/") or not home:
            logger.warning("unknown home directory or bad syntax for: %s", text)
            delivery.note(state, "5.3.5", CONFIGURATION)
            return
        await final.file(local, delivery, state, home.rstrip("/") + text[1:])
    elif text.startswith("|"):
        if state.kind not in local.settings.to_commands:
            delivery.note(state, "5.7.1", "mail to command is restricted")
            return
        await final.command(local, delivery, state, text[1:])
    elif text.lower().startswith(INCLUDE):
        await _include(local, delivery, state, text[len(INCLUDE) :])
    else:
        await local.resolve(delivery, state, text)


async def _stream(local: Local, delivery: Delivery, state: State, text: str) -> int:
    """Every line of a file in turn, up to one that cannot be delivered now; how many destinations there were."""
    count = 0
    try:
        for line in lines(text, local.settings.line_limit):
            found = destinations(line)
            count += len(found)
            await each(local, delivery, state, found)
            if delivery.deferred:
                break
    except TooMany as error:
        delivery.note(state, "5.4.6", str(error))
    return count


# --- files that name destinations ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """A file of destinations, as its reader saw it."""

    text: str = ""
    uid: int = 0
    fault: str = ""
    """Why it is not to be used."""


def _read(path: str, *, follow: bool) -> dict[str, object] | None:
    """In the child: the file, or None if it is not there."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return {"fault": f"cannot open file {path}: {error.strerror}"}
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        return {"fault": f"file {path} is not a regular file"}
    with os.fdopen(fd, "rb") as file:
        if status.st_mode & stat.S_IWOTH:
            return {"fault": f"file {path} is world writable"}
        text = file.read(MAX_FILE + 1)
    if len(text) > MAX_FILE:
        return {"fault": f"file {path} is too large"}
    return {"text": text.decode("utf-8", "surrogateescape"), "uid": status.st_uid}


async def _read_as(rights: Rights, path: str, *, follow: bool) -> Found | None:
    """A file as its user may read it. Raises OSError, CannotBecome, ChildFailed."""
    told = await act_as(rights, lambda: _read(path, follow=follow))
    return None if told is None else Found(**told)


async def forward_file(local: Local, delivery: Delivery, state: State) -> bool:
    """Expand the user's .forward file; False if there is none that counts."""
    state = state.deeper()
    user = user_named(state.user)
    if user is None or not local.settings.forward_path:
        return False
    if not local.settings.frozen_delivered:
        state = replace(state, delivered=state.address)
    state = replace(state, rights=user, kind="forward", owner=state.user)
    try:
        named = await _first_forward(local, state, user)
    except (CannotBecome, ChildFailed, OSError) as error:
        delivery.note(state, "4.3.0", f"cannot look for forward files: {error}")
        return True
    if named is None:
        return False
    path, found, with_extension = named
    if with_extension or "forward" not in local.settings.propagate:
        state = replace(state, unmatched="")
    if ("forward", path) in delivery.seen:
        return ("forward-done", path) in delivery.seen  # else it names itself: the mailbox is meant
    delivery.been_here("forward", path)
    if found.fault or found.uid not in (0, user.rights.uid):
        logger.warning("%s", found.fault or f"file {path} has bad owner uid {found.uid}")
        return False
    notify = state.recipient.notify
    state = _with_notify(replace(state, expanding=state.local), without_success(notify))
    if not await _stream(local, delivery, state, found.text):
        return False
    delivery.been_here("forward-done", path)
    if notify & Notify.SUCCESS and not delivery.deferred:
        delivery.tell_expanded("expanded")
    return True


async def _first_forward(local: Local, state: State, user: User) -> tuple[str, Found, bool] | None:
    """The first file of forward_path that is there, and whether its name holds the extension."""
    for pattern in local.settings.forward_path.replace(",", " ").split():
        names = Names(state, local.settings.delimiters)
        try:
            path = expand(pattern, names.lookup, recurse=False, allowed=local.settings.forward_characters)
        except ExpandError as error:
            logger.warning("forward_path: %s", error)
            continue
        if names.undefined:
            continue
        found = await _read_as(user.rights, path, follow=False)
        if found is not None:
            return path, found, names.extension_used
    return None


async def _include(local: Local, delivery: Delivery, state: State, path: str) -> None:
    state = replace(state.deeper(), expanding=state.local)
    if state.level > MAX_LEVEL:
        delivery.note(state, "5.4.6", ":include: nesting limit exceeded")
        return
    if delivery.been_here("include", state.rights.rights.uid if state.rights else 0, path):
        return
    if not path.startswith("/"):
        logger.warning(":include:%s uses a relative path", path)
        delivery.note(state, "5.3.5", CONFIGURATION)
        return
    rights = state.rights.rights if state.rights else _reader()
    try:
        found = await _read_as(rights, path, follow=True)
    except (CannotBecome, ChildFailed, OSError) as error:
        delivery.note(state, "4.3.0", f"cannot open include file {path}: {error}")
        return
    if found is None or found.fault:
        logger.warning(":include: %s", found.fault if found else f"file {path}: No such file or directory")
        delivery.note(state, "5.3.5", CONFIGURATION)
        return
    if state.rights is None and found.uid != 0:
        # A root-owned alias leads to somebody's own list: what stands there is done with his rights, not ours.
        owner = user_numbered(found.uid)
        if owner is None:
            logger.warning("%s: cannot find :include: file owner username", path)
            delivery.note(state, "4.3.5", CONFIGURATION)
            return
        state = replace(state, rights=owner)
    state = replace(state, kind="include", owner=state.owner or state.address)
    if "include" not in local.settings.propagate:
        state = replace(state, unmatched="")
    await _stream(local, delivery, state, found.text)


def _reader() -> Rights:
    """Who reads the files that root's aliases name: root, or whoever we are."""
    return Rights(0, 0) if 0 in os.getresuid() else Rights(os.geteuid(), os.getegid())
