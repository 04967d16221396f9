"""MAIL and RCPT with their parameters (RFC 5321, 1870, 6152, 6531, 3461)."""

from __future__ import annotations

import re
from typing import Final

from mta.address import quote_821
from mta.delivery.smtp.session import Session
from mta.queue.message import QueuedMessage, QueuedRecipient

_UNCHANGED: Final = re.compile(r"[!-*,-<>-\[\]-~]*")
"""What is the same in both encodings: printable, and none of `+`, `=` and `\\`."""


def xtext(value: str) -> str:
    """RFC 3461 section 4: `+`, `=` and what is not printable become `+XX`."""
    if _UNCHANGED.fullmatch(value):
        return value
    return "".join(
        char if "!" <= char <= "~" and char not in "+=" else "".join(f"+{octet:02X}" for octet in _octets(char))
        for char in value
    )


def utf8_xtext(value: str) -> str:
    """RFC 6533 section 3: what is not plain ASCII becomes `\\x{HEX}`, and so do the characters of the encoding."""
    return "".join(char if "!" <= char <= "~" and char not in "+=\\" else f"\\x{{{ord(char):02X}}}" for char in value)


def _octets(char: str) -> bytes:
    return char.encode("utf-8", "surrogateescape")


def _address(session: Session, address: str) -> str:
    return quote_821(address) if session.settings.quote_envelope else address


def mail_command(session: Session, message: QueuedMessage, sender: str, size: int) -> str:
    """MAIL FROM with every parameter that the server understands. `size`: octets of the content, 0 if not known."""
    command = f"MAIL FROM:<{_address(session, sender) if sender else ''}>"
    if session.offers("SIZE") and size:
        command += f" SIZE={size}"
    if session.offers("8BITMIME") and message.body:
        command += f" BODY={message.body}"
    if session.offers("DSN"):
        if message.envid:
            command += f" ENVID={xtext(message.envid)}"
        if message.ret:
            command += f" RET={message.ret}"
    if session.offers("SMTPUTF8") and message.smtputf8:
        command += " SMTPUTF8"
    if session.settings.dummy_mail_auth and session.authenticated:
        command += " AUTH=<>"
    return command


def rcpt_command(session: Session, recipient: QueuedRecipient, address: str) -> str:
    """RCPT TO with ORCPT and NOTIFY."""
    command = f"RCPT TO:<{_address(session, address)}>"
    if session.offers("DSN"):
        original = recipient.recipient.orcpt
        kind, semicolon, value = original.partition(";")
        if semicolon:
            command += f" ORCPT={kind};{utf8_xtext(value) if kind.lower() == 'utf-8' else xtext(value)}"
        if recipient.recipient.notify:
            command += f" NOTIFY={recipient.recipient.notify.wire()}"
    return command


_FORWARDED: Final[tuple[tuple[str, str], ...]] = (
    ("NAME", "client_name"),
    ("ADDR", "client_address"),
    ("PORT", "client_port"),
    ("PROTO", "protocol_name"),
    ("HELO", "helo_name"),
    ("IDENT", "ident"),
)
_FIRST_LINE: Final = 3
"""The attributes go in two commands, as the line would become too long for one."""
_MAY_BE_UNKNOWN: Final = frozenset({"HELO", "IDENT"})
"""For the others `unknown` is as good as nothing."""


def forward_commands(session: Session, message: QueuedMessage) -> list[str]:
    """XFORWARD: for a content filter's log, who the client was (XFORWARD_README)."""
    if not session.settings.send_xforward or not session.offers("XFORWARD"):
        return []
    offered = session.features["XFORWARD"].upper().split()
    attributes = message.attributes
    words = []
    for name, attribute in _FORWARDED:
        value = attributes.get(f"log_{attribute}") or attributes.get(attribute, "")
        if name == "IDENT":
            value = value or message.queue_id
        known = value and (name in _MAY_BE_UNKNOWN or value.lower() != "unknown")
        words.append(f" {name}={xtext(value)}" if known and name in offered else "")
    context = attributes.get("rewrite_context")
    if context and "SOURCE" in offered:
        words.append(f" SOURCE={'LOCAL' if context == 'local' else 'REMOTE'}")
    lines = ("".join(words[:_FIRST_LINE]), "".join(words[_FIRST_LINE:]))
    return [f"XFORWARD{line}" for line in lines if line]


def needs_smtputf8(message: QueuedMessage, recipients: list[str], content: bytes) -> bool:
    """Whether a server without SMTPUTF8 cannot take this: it was asked for, and is made use of (RFC 6531)."""
    if not message.smtputf8:
        return False
    header, _, _ = content.partition(b"\r\n\r\n")
    return not (message.sender.isascii() and header.isascii() and all(address.isascii() for address in recipients))
