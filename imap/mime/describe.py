"""ENVELOPE, BODY and BODYSTRUCTURE of a parsed message, as they go on the wire (RFC 3501 section 7.4.2)."""

from __future__ import annotations

from collections.abc import Sequence

from imap.imap4.syntax import for_humans, nstring, one_line, string
from imap.mime.address import Address, addresses
from imap.mime.header import folded, unfold
from imap.mime.parameters import Parameters, disposition
from imap.mime.rfc822 import Cursor
from imap.mime.structure import Part

# A multipart must have a part (RFC 3501 body-type-mpart); one without is shown with an empty text part.
_EMPTY_TEXT = b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0'

# More language tags than this are not listed.
MAX_LANGUAGES = 64
# Octets of address fields that one envelope reads, all fields together: twenty thousand addresses, and a bound on what
# one mail can cost. Later fields are shown as if they were empty.
MAX_ADDRESS_OCTETS = 1 << 20


def envelope(part: Part, message: bytes) -> bytes:
    """The envelope list of a part that was parsed as a message, parentheses included."""
    left = MAX_ADDRESS_OCTETS

    def text(name: bytes) -> bytes:
        found = part.envelope.get(name)
        return one_line(unfold(message, found[-1])) if found else b"NIL"

    def people(name: bytes) -> bytes:
        nonlocal left
        people: list[Address] = []
        for each in part.envelope.get(name, ()):
            if left <= 0:
                break
            value = unfold(message, each)[:left]
            left -= len(value) + 1
            people += addresses(value)
        return address_list(people)

    def people_or(name: bytes, default: bytes) -> bytes:
        return found if (found := people(name)) != b"NIL" else default

    subject = part.envelope.get(b"subject")
    sender = people(b"from")
    return (
        b"("
        + b" ".join(
            (
                text(b"date"),
                for_humans(folded(message, subject[-1]) if subject else None),
                sender,
                people_or(b"sender", sender),
                people_or(b"reply-to", sender),
                people(b"to"),
                people(b"cc"),
                people(b"bcc"),
                text(b"in-reply-to"),
                text(b"message-id"),
            )
        )
        + b")"
    )


def address_list(people: Sequence[Address]) -> bytes:
    """A parenthesized list of address structures, NIL for none."""
    if not people:
        return b"NIL"
    return (
        b"("
        + b"".join(b"(" + b" ".join((for_humans(person.name), *map(one_line, person[1:]))) + b")" for person in people)
        + b")"
    )


def body(part: Part, message: bytes, *, extended: bool) -> bytes:
    """BODY (``extended`` false) or BODYSTRUCTURE of a part, parentheses included."""
    return b"(" + _inner(part, message, extended) + b")"


def _inner(part: Part, message: bytes, extended: bool) -> bytes:
    return _multipart(part, message, extended) if part.is_multipart else _single(part, message, extended)


def _multipart(part: Part, message: bytes, extended: bool) -> bytes:
    assert part.media is not None
    if part.children:
        children = b"".join(body(child, message, extended=extended) for child in part.children)
    else:
        children = _EMPTY_TEXT + (b" NIL NIL NIL NIL)" if extended else b")")
    text = children + b" " + string(part.media.subtype)
    if extended:
        text += b" " + _parameters(part.media.parameters) + _extension(part, message)
    return text


def _single(part: Part, message: bytes, extended: bool) -> bytes:
    media = part.media
    parameters = media.parameters if media is not None else ()
    is_text = not part.is_message and (media is None or media.type.lower() == b"text")
    if part.is_message:
        kind = b'"message" "rfc822"'
    elif media is None:
        kind = b'"text" "plain"'
    else:
        kind = string(media.type) + b" " + string(media.subtype)
    encoding = transfer_encoding(part, message)
    pieces = [
        kind,
        _parameters(parameters, default_charset=is_text),
        _value(part, message, b"content-id"),
        _value(part, message, b"content-description"),
        b'"7bit"' if encoding is None else string(encoding),
        b"%d" % part.size,
    ]
    if is_text:
        pieces.append(b"%d" % part.lines(message))
    elif part.is_message and part.children:
        child = part.children[0]
        pieces += [envelope(child, message), body(child, message, extended=extended), b"%d" % part.lines(message)]
    text = b" ".join(pieces)
    if extended:
        text += b" " + _value(part, message, b"content-md5") + _extension(part, message)
    return text


def _extension(part: Part, message: bytes) -> bytes:
    """Disposition, language and location, each with a space before it."""
    return b" %b %b %b" % (
        _disposition(part, message),
        _languages(part, message),
        _value(part, message, b"content-location"),
    )


def _value(part: Part, message: bytes, name: bytes) -> bytes:
    found = part.content.get(name)
    return nstring(None) if found is None else one_line(unfold(message, found[0]))


def transfer_encoding(part: Part, message: bytes) -> bytes | None:
    """The first Content-Transfer-Encoding that is one word, as written; None where there is none."""
    for found in part.content.get(b"content-transfer-encoding", ()):
        cursor = Cursor(unfold(message, found))
        cursor.skip_white()
        token = cursor.token()
        if token and not cursor.skip_white() and not cursor.broken:
            return token
    return None


def _parameters(parameters: Parameters, *, default_charset: bool = False) -> bytes:
    pairs = [string(name) + b" " + string(value) for name, value in parameters]
    if default_charset and not any(name.lower() == b"charset" for name, _ in parameters):
        pairs.append(b'"charset" "us-ascii"')
    return b"(" + b" ".join(pairs) + b")" if pairs else b"NIL"


def _disposition(part: Part, message: bytes) -> bytes:
    """Content-Disposition: the first field that has parameters, else the last one."""
    text = b"NIL"
    for found in part.content.get(b"content-disposition", ()):
        parsed = disposition(unfold(message, found))
        if parsed is not None:
            text = b"(" + string(parsed[0]) + b" " + _parameters(parsed[1]) + b")"
            if parsed[1]:
                break
    return text


def _languages(part: Part, message: bytes) -> bytes:
    """Content-Language (RFC 3282) as a list of tags: the first field that has any."""
    for found in part.content.get(b"content-language", ()):
        tags = _tags(Cursor(unfold(message, found)))
        if tags:
            return b"(" + b" ".join(map(string, tags)) + b")"
    return b"NIL"


def _tags(cursor: Cursor) -> list[bytes]:
    tags: list[bytes] = []
    while cursor.skip_white() and len(tags) < MAX_LANGUAGES:
        tag = cursor.token()
        if not tag:
            break
        tags.append(tag)
        if not cursor.skip_white() or cursor.peek() != 0x2C:
            break
        cursor.position += 1
    return [] if cursor.broken else tags
