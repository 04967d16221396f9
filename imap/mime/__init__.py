"""MIME as IMAP shows it: ENVELOPE, BODYSTRUCTURE and sections of a message, over offsets, for hostile and broken mail.

The message is one ``bytes`` in CRLF form; nothing here copies it. Every function is linear in its size and bounded
by the constants of :mod:`imap.mime.structure`; no input makes any of them raise.

``parse(message) -> Part``              the tree of parts (:mod:`imap.mime.structure`)
``envelope(part, message) -> bytes``    the ENVELOPE list as it goes on the wire (RFC 3501 section 7.4.2)
``body(part, message, extended) -> bytes``  BODY or BODYSTRUCTURE
``Section.parse(text) / .resolve(...)``  BODY[section] (RFC 3501 section 6.4.5)
"""

from imap.mime.describe import body, envelope
from imap.mime.section import Section, SectionError
from imap.mime.structure import Part, parse

__all__ = ["Part", "Section", "SectionError", "body", "envelope", "parse"]
