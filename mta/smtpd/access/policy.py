"""check_policy_service: Postfix's policy delegation protocol (SMTPD_POLICY_README), asked over a kept connection."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mta.config.lines import split_list
from mta.smtpd.access.actions import obey
from mta.smtpd.access.check import Check, Stage, Verdict
from mta.smtpd.access.lists import BadRestriction
from mta.smtpd.arguments import is_digits

if TYPE_CHECKING:
    from mta.smtpd.access.engine import Access

log = logging.getLogger("postfix.smtpd")

REPLY_LIMIT: Final = 16 * 1024
"""Octets of a server's answer: an action and its text."""

_STATES: Final = {
    Stage.CLIENT: "CONNECT",
    Stage.HELO: "HELO",
    Stage.SENDER: "MAIL",
    Stage.RELAY: "RCPT",
    Stage.RECIPIENT: "RCPT",
    Stage.ETRN: "ETRN",
    Stage.DATA: "DATA",
    Stage.END_OF_DATA: "END-OF-MESSAGE",
}


class PolicyFailed(Exception):
    """The server gave no usable answer."""


@dataclass(slots=True)
class Service:
    """One policy server with its settings; idle connections are kept for the next request."""

    endpoint: tuple[str, ...]
    """("unix", path) or ("inet", host, port)."""
    title: str
    timeout: float
    max_idle: float
    max_ttl: float
    try_limit: int
    retry_delay: float
    request_limit: int
    default_action: str
    context: str
    idle: list[Link] = field(default_factory=list)

    def close(self) -> None:
        """Let go of the kept connections."""
        while self.idle:
            self.idle.pop().writer.close()


@dataclass(slots=True)
class Link:
    """One connection to a policy server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    opened: float
    used: float
    requests: int = 0


def parse_service(access: Access, spec: str) -> Service:
    """`unix:private/policy`, `inet:host:port`, or `{ inet:host:port, timeout=10s, ... }`. Raises BadRestriction."""
    words = split_list(spec[1:-1]) if spec.startswith("{") else [spec]
    if not words:
        raise BadRestriction("check_policy_service: no server given")
    options = dict(_option(word) for word in words[1:])
    unknown = set(options) - {
        "timeout",
        "max_idle",
        "max_ttl",
        "try_limit",
        "retry_delay",
        "request_limit",
        "default_action",
        "policy_context",
    }
    if unknown:
        raise BadRestriction(f"check_policy_service: unknown option: {', '.join(sorted(unknown))}")
    config = access.config

    def setting(name: str) -> str:
        return options.get(name) or config.str(f"smtpd_policy_service_{name}")

    seconds = access.seconds
    service = Service(
        _endpoint(words[0], Path(config.str("queue_directory"))),
        words[0],
        seconds(setting("timeout")),
        seconds(setting("max_idle")),
        seconds(setting("max_ttl")),
        max(int(setting("try_limit")), 1),
        seconds(setting("retry_delay")),
        int(setting("request_limit")),
        setting("default_action"),
        setting("policy_context"),
    )
    access.policy_services.append(service)
    return service


def _option(word: str) -> tuple[str, str]:
    name, _, value = word.strip("{} ").partition("=")
    return name.strip(), value.strip()


def _endpoint(text: str, base: Path) -> tuple[str, ...]:
    kind, _, rest = text.partition(":")
    if kind == "unix" and rest:
        return "unix", str(base / rest)
    host, _, port = (rest if kind == "inet" else text).rpartition(":")
    if kind not in ("unix",) and host and is_digits(port, 5):
        return "inet", host.strip("[]"), port
    raise BadRestriction(f"check_policy_service: bad server name: {text}")


async def check_policy_service(check: Check, service: Service) -> Verdict:
    """Ask; if nobody answers in time, smtpd_policy_service_default_action decides."""
    try:
        action = await ask(service, attributes(check, service.context))
    except PolicyFailed as problem:
        log.warning("problem talking to server %s: %s", service.title, problem)
        action = service.default_action
    return await obey(check, action, service.title)


def attributes(check: Check, context: str) -> dict[str, str]:
    """The request, in the order of SMTPD_POLICY_README."""
    session, transaction, peer = check.session, check.transaction, check.session.peer_info
    tls = session.tls
    return {
        "request": "smtpd_access_policy",
        "protocol_state": _STATES[check.stage] if check.session.command != "VRFY" else "VRFY",
        "protocol_name": session.protocol,
        "client_address": peer.address,
        "client_name": peer.name,
        "client_port": str(peer.port),
        "reverse_client_name": peer.reverse_name,
        "server_address": session.local[0],
        "server_port": str(session.local[1]),
        "helo_name": check.helo or "",
        "sender": check.sender or "",
        "recipient": check.recipient or "",
        "recipient_count": str(len(transaction.recipients) if check.stage in (Stage.DATA, Stage.END_OF_DATA) else 0),
        "queue_id": transaction.queue_id,
        # The same for all requests about one message (SMTPD_POLICY_README), another for the next of the session.
        "instance": f"{session.instance}.{session.counts.get('mail', [0])[0]:x}",
        "size": str(transaction.size),
        "etrn_domain": check.etrn_domain,
        "stress": session.stress,
        "sasl_method": session.sasl_method,
        "sasl_username": session.sasl_username,
        "sasl_sender": transaction.sasl_sender,
        "ccert_subject": tls.agreed.peer_name if tls else "",
        "ccert_issuer": tls.agreed.issuer_name if tls else "",
        "ccert_fingerprint": tls.fingerprint if tls else "",
        "ccert_pubkey_fingerprint": tls.public_key_fingerprint if tls else "",
        "encryption_protocol": tls.agreed.protocol if tls else "",
        "encryption_cipher": tls.agreed.cipher if tls else "",
        "encryption_keysize": str(tls.agreed.used_bits) if tls else "",
        "policy_context": context,
    }


def encode(request: dict[str, str]) -> bytes:
    """name=value lines and an empty line; a value cannot contain a line end, so it cannot add an attribute."""
    lines = [f"{name}={value}".replace("\n", "?").replace("\0", "?") for name, value in request.items()]
    return ("\n".join(lines) + "\n\n").encode("utf-8", "surrogateescape")


async def ask(service: Service, request: dict[str, str]) -> str:
    """The `action=` of the answer. Raises PolicyFailed after try_limit attempts."""
    octets = encode(request)
    problem = "no answer"
    for attempt in range(service.try_limit):
        if attempt:
            await asyncio.sleep(service.retry_delay)
        try:
            async with asyncio.timeout(service.timeout):
                return await _exchange(service, octets)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            problem = type(error).__name__
    raise PolicyFailed(problem)


async def _exchange(service: Service, octets: bytes) -> str:
    link = _idle_link(service) or await _connect(service)
    try:
        link.writer.write(octets)
        await link.writer.drain()
        answer = await link.reader.readuntil(b"\n\n")
    except BaseException:
        link.writer.close()
        raise
    link.requests += 1
    link.used = time.monotonic()
    if service.request_limit and link.requests >= service.request_limit:
        link.writer.close()
    else:
        service.idle.append(link)
    for line in answer.decode("utf-8", "surrogateescape").splitlines():
        name, _, value = line.partition("=")
        if name == "action":
            return value
    raise OSError("no action in the answer")


def _idle_link(service: Service) -> Link | None:
    now = time.monotonic()
    while service.idle:
        link = service.idle.pop()
        fresh = now - link.used < service.max_idle and now - link.opened < service.max_ttl
        if fresh and not link.reader.at_eof() and not link.writer.is_closing():
            return link
        link.writer.close()
    return None


async def _connect(service: Service) -> Link:
    if service.endpoint[0] == "unix":
        reader, writer = await asyncio.open_unix_connection(service.endpoint[1], limit=REPLY_LIMIT)
    else:
        reader, writer = await asyncio.open_connection(service.endpoint[1], int(service.endpoint[2]), limit=REPLY_LIMIT)
    now = time.monotonic()
    return Link(reader, writer, now, now)
