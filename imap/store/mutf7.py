"""Modified UTF-7, the form of mailbox names on the IMAP wire and in directory names (RFC 3501 section 5.1.3)."""

import binascii
import codecs
import itertools

from imap.store.errors import InvalidName

codecs.lookup("utf-16-be")  # imported now: inside the jail the standard library may be out of reach

# Dovecot's answer to a name that is not valid modified UTF-7; it carries no response code.
_INVALID = "Mailbox name is not valid mUTF-7"


class InvalidEncoding(InvalidName):
    """Not modified UTF-7, or not its one allowed (shortest) form."""

    def __init__(self) -> None:
        super().__init__(_INVALID)
        self.code = None


def decode(wire: bytes) -> str:
    """Decode a name from the wire. Raises InvalidEncoding.

    Only the one canonical form is accepted: no printable ASCII inside base64, no needless shifts, no odd bits, so that
    two different byte strings never name the same mailbox.
    """
    parts: list[str] = []
    position = 0
    while position < len(wire):
        byte = wire[position]
        if byte != 0x26:  # &
            if not 0x20 <= byte <= 0x7E:
                raise InvalidEncoding()
            parts.append(chr(byte))
            position += 1
            continue
        end = wire.find(b"-", position)
        if end < 0:
            raise InvalidEncoding()
        parts.append("&" if end == position + 1 else _unshift(wire[position + 1 : end]))
        position = end + 1
    name = "".join(parts)
    if encode(name) != wire:
        raise InvalidEncoding()
    return name


def _unshift(base64: bytes) -> str:
    """Decode one base64 run of UTF-16BE code units."""
    if b"/" in base64:
        raise InvalidEncoding()
    padded = base64.replace(b",", b"/") + b"=" * (-len(base64) % 4)
    try:
        return binascii.a2b_base64(padded, strict_mode=True).decode("utf-16-be")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise InvalidEncoding() from error


def encode(name: str) -> bytes:
    """Encode a decoded name. Raises InvalidEncoding for lone surrogates, which have no form."""
    out = bytearray()
    for printable, run in itertools.groupby(name, key=lambda char: " " <= char <= "~"):
        text = "".join(run)
        out += text.replace("&", "&-").encode("ascii") if printable else b"&" + _shift(text) + b"-"
    return bytes(out)


def _shift(text: str) -> bytes:
    """Encode one run of characters outside printable ASCII."""
    try:
        utf16 = text.encode("utf-16-be")
    except UnicodeEncodeError as error:
        raise InvalidEncoding() from error
    return binascii.b2a_base64(utf16, newline=False).rstrip(b"=").replace(b"/", b",")
