"""pipe(8): delivery to a command with an argument vector, never through a shell."""

from __future__ import annotations

import grp
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mta.address import Extensions, quote_822
from mta.config.expand import ExpandError, expand, references
from mta.delivery.host.command import Command, run
from mta.delivery.host.copy import MAILER_DAEMON, Form, copied
from mta.delivery.host.localsettings import exported
from mta.delivery.host.report import Report, Step
from mta.delivery.host.rights import CannotBecome, ChildFailed, Rights, act_as, user_named
from mta.delivery.host.state import CONFIGURATION, delivered_to
from mta.delivery.request import Request
from mta.delivery.result import Action
from mta.queue.message import QueuedRecipient

if TYPE_CHECKING:
    from mta.config import MainConfig, MasterService

logger = logging.getLogger("postfix.pipe")

_COPY_FLAGS: Final = frozenset("BDFOR.>")
_FLAGS: Final = _COPY_FLAGS | frozenset("Xhqu")
_ESCAPE: Final = re.compile(r"\\([abfnrtv\\]|[0-7]{1,3})")
_ESCAPES: Final = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92}

BY_RECIPIENT: Final = frozenset({"recipient", "original_recipient", "user", "extension", "mailbox", "domain"})
"""Macros that make one argument for each recipient."""
CLIENT: Final = {
    "client_address": "client_address",
    "client_helo": "helo_name",
    "client_hostname": "client_name",
    "client_port": "client_port",
    "client_protocol": "protocol_name",
    "sasl_method": "sasl_method",
    "sasl_sender": "sasl_sender",
    "sasl_username": "sasl_username",
}
"""Macro: attribute of the message."""
_MACROS: Final = BY_RECIPIENT | CLIENT.keys() | {"nexthop", "sender", "size", "queue_id"}


@dataclass(frozen=True, slots=True)
class PipeSettings:
    """The attributes of one line of master.cf."""

    name: str
    argv: tuple[str, ...]
    rights: Rights
    flags: frozenset[str] = frozenset()
    directory: str = ""
    root: str = ""
    eol: bytes = b"\n"
    null_sender: str = MAILER_DAEMON
    size_limit: int = 0
    """Octets; 0 is no limit."""
    time_limit: float = 1000.0

    @classmethod
    def from_service(cls, service: MasterService, config: MainConfig, owner: Rights | None = None) -> PipeSettings:
        """`owner`: the mail system's own user, whom no command may be. Raises ValueError."""
        given: dict[str, str] = {}
        for number, word in enumerate(service.args):
            name, equals, value = word.partition("=")
            if name.lower() not in _ATTRIBUTES or not equals:
                raise ValueError(f"unknown attribute name: {word}")
            if name.lower() == "argv":
                argv = (value, *service.args[number + 1 :])
                break
            given[name.lower()] = value
        else:
            raise ValueError("missing argv= command-line attribute")
        flags = frozenset(given.get("flags", ""))
        if flags - _FLAGS:
            raise ValueError(f"unknown flag: {min(flags - _FLAGS)}")
        if not argv[0]:
            raise ValueError("argv= names no command")
        size = given.get("size", "0")
        if not re.fullmatch(r"[0-9]{1,18}", size):
            raise ValueError(f"bad size= value: {size}")
        limit = f"{service.name}_time_limit"
        return cls(
            name=service.name,
            argv=argv,
            rights=_rights(given.get("user", ""), owner),
            flags=flags,
            directory=given.get("directory", ""),
            root=given.get("chroot", ""),
            eol=_unescaped(given.get("eol", "\\n")),
            null_sender=given.get("null_sender", MAILER_DAEMON),
            size_limit=int(size),
            time_limit=config.seconds(limit if config.raw(limit) is not None else "command_time_limit"),
        )


_ATTRIBUTES: Final = frozenset({"flags", "user", "directory", "chroot", "eol", "null_sender", "size", "argv"})


def _rights(text: str, owner: Rights | None) -> Rights:
    """`user` or `user:group`, neither root nor the mail system's own."""
    name, _, group = text.partition(":")
    if not name:
        raise ValueError("missing user= command-line attribute")
    user = user_named(name)
    if user is None:
        raise ValueError(f"unknown username: {name}")
    try:
        gid = grp.getgrnam(group).gr_gid if group else user.rights.gid
    except KeyError:
        raise ValueError(f"unknown group: {group}") from None
    if user.rights.uid == 0 or gid == 0:
        raise ValueError("user= command-line attribute specifies root privileges")
    if owner and (user.rights.uid == owner.uid or gid == owner.gid):
        raise ValueError(f"user= command-line attribute specifies mail system owner {name}")
    return Rights(user.rights.uid, gid)


def _unescaped(text: str) -> bytes:
    """C-style escapes of eol=."""

    def octet(match: re.Match[str]) -> str:
        code = match[1]
        return chr(_ESCAPES[code] if code in _ESCAPES else int(code, 8) & 0xFF)

    return _ESCAPE.sub(octet, text).encode("latin-1", "replace")


class Pipe:
    """A pipe service of master.cf."""

    def __init__(
        self,
        settings: PipeSettings,
        extensions: Extensions,
        environment: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._extensions = extensions
        self._environment = environment or {}
        self._clock = clock

    @classmethod
    def from_service(
        cls, service: MasterService, config: MainConfig, owner: Rights | None, clock: Callable[[], float] = time.time
    ) -> Pipe:
        """Raises ValueError."""
        settings = PipeSettings.from_service(service, config, owner)
        return cls(settings, Extensions.of(config), exported(config), clock)

    async def reports(self, request: Request) -> list[Report]:
        """See Deliverer."""
        status, reason, *details = await self._deliver(request)
        final = "X" in self._settings.flags
        action = ("" if final else str(Action.RELAYED)) if status.startswith("2") else ""
        return [
            Report(recipient.position, [Step.of(recipient.recipient.address, status, reason, action, "".join(details))])
            for recipient in request.recipients
        ]

    async def _deliver(self, request: Request) -> tuple[str, ...]:
        """Status, reason, and what the command said where it failed."""
        settings, first = self._settings, request.recipients[0].recipient
        for flag in "DO":
            if flag in settings.flags and len(request.recipients) > 1:
                logger.warning("pipe flag `%s' requires %s_destination_recipient_limit = 1", flag, settings.name)
                return "4.3.5", CONFIGURATION
        if settings.size_limit and request.message.size > settings.size_limit:
            return "5.2.3", "message too large"
        content = request.read_content()
        if "D" in settings.flags and first.address.casefold() in delivered_to(content):
            return "5.4.6", f"mail forwarding loop for {first.address}"
        sender = request.message.sender or settings.null_sender
        try:
            argv = self.arguments(request, sender)
        except ExpandError as error:
            logger.warning("service %s: %s", settings.name, error)
            return "4.3.5", CONFIGURATION
        if request.message.is_probe:
            return "2.0.0", f"delivers to command: {argv[0]}"
        form = Form(settings.flags & _COPY_FLAGS, settings.eol)
        octets = copied(
            content, form, sender=sender, original=first.original, delivered=first.address, now=self._clock()
        )
        command = Command(
            argv=argv,
            text=argv[0],
            speaker="pipe: fatal: pipe_command",
            environment=self._environment,
            directory=settings.directory,
            time_limit=settings.time_limit,
        )
        try:
            verdict, said = await act_as(settings.rights, lambda: list(run(command, octets)), root=settings.root)
        except CannotBecome as error:
            logger.warning("%s", error)
            return "4.3.5", str(error)
        except (ChildFailed, OSError) as error:
            return "4.3.0", f"delivery failed: {error}"
        if verdict:
            status, reason, detail = verdict
            return status, reason, detail
        said = said.rstrip()
        return "2.0.0", f"delivered via {settings.name} service" + (f" ({said[:100]})" if said else "")

    # --- the argument vector ---------------------------------------------------------------------------------------

    def arguments(self, request: Request, sender: str) -> list[str]:
        """The command with every macro expanded, arguments about recipients once for each. Raises ExpandError."""
        message, flags = request.message, self._settings.flags
        common = {
            "sender": quote_822(sender) if "q" in flags and sender else sender,
            "nexthop": request.nexthop.casefold() if "h" in flags else request.nexthop,
            "size": str(message.size),
            "queue_id": message.queue_id,
            **{macro: message.attributes.get(attribute, "") for macro, attribute in CLIENT.items()},
        }
        found: list[str] = []
        for word in self._settings.argv:
            names = references(word)
            unknown = [name for name in names if name not in _MACROS]
            if unknown:
                raise ExpandError(f'unknown macro name: "{unknown[0]}"')
            rounds = self._each(request.recipients) if BY_RECIPIENT.intersection(names) else [{}]
            for values in rounds:
                found.append(expand(word, {**common, **values}.get, recurse=False))
        return found

    def _each(self, recipients: Sequence[QueuedRecipient]) -> list[dict[str, str]]:
        return [self._about(recipient) for recipient in recipients]

    def _about(self, queued: QueuedRecipient) -> dict[str, str]:
        recipient = queued.recipient
        bare = self._folded(recipient.address)
        mailbox, _, domain = bare.rpartition("@")
        user, extension = self._extensions.split_local(mailbox)
        return {
            "recipient": self._folded(self._quoted(recipient.address)),
            "original_recipient": self._folded(self._quoted(recipient.original)),
            "user": user,
            "extension": extension[1:],
            "mailbox": mailbox,
            "domain": domain,
        }

    def _quoted(self, address: str) -> str:
        return quote_822(address) if "q" in self._settings.flags and address else address

    def _folded(self, address: str) -> str:
        local, at, domain = address.rpartition("@")
        if "u" in self._settings.flags:
            local = local.casefold()
        if "h" in self._settings.flags:
            domain = domain.casefold()
        return f"{local}{at}{domain}"
