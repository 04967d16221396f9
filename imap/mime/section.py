"""BODY[section]: which octets of a message a section names (RFC 3501 section 6.4.5)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from imap.mime.header import header_end, named
from imap.mime.structure import MAX_DEPTH, MAX_PARTS, Part

Kind = Literal["", "HEADER", "TEXT", "MIME", "HEADER.FIELDS", "HEADER.FIELDS.NOT"]

_MESSAGE_KINDS: tuple[Kind, ...] = ("HEADER", "TEXT", "HEADER.FIELDS", "HEADER.FIELDS.NOT")


class SectionError(ValueError):
    """Not a section."""


@dataclass(frozen=True, slots=True)
class Section:
    """A parsed section: part numbers from the root and what is wanted of that part."""

    path: tuple[int, ...] = ()
    kind: Kind = ""
    names: tuple[bytes, ...] = ()

    @classmethod
    def parse(cls, text: bytes, names: Iterable[bytes] = ()) -> Section:
        """Parse what stands between the brackets, without the list of names. Raises SectionError."""
        path: list[int] = []
        rest = text.upper()
        while rest[:1].isdigit():
            number, dot, rest = rest.partition(b".")
            if not number.isdigit() or len(number) > 20 or len(path) >= MAX_DEPTH or (dot and not rest):
                raise SectionError("Invalid BODY[..] section")
            path.append(min(int(number), MAX_PARTS + 1))
        kind: Kind
        if rest == b"":
            kind = ""
        else:
            for kind in ("HEADER", "TEXT", "MIME", "HEADER.FIELDS", "HEADER.FIELDS.NOT"):
                if rest == kind.encode():
                    break
            else:
                raise SectionError("Invalid BODY[..] section")
        if kind == "MIME" and not path:
            raise SectionError("Invalid BODY[..] section")
        wanted = tuple(name.upper() for name in names)
        if kind.startswith("HEADER.FIELDS") != bool(wanted):
            raise SectionError("Invalid BODY[..] section")
        return cls(tuple(path), kind, wanted)

    @property
    def header_only(self) -> bool:
        """Whether the top header alone holds the answer."""
        return not self.path and self.kind not in ("", "TEXT")

    def resolve(self, root: Part, message: bytes) -> bytes | None:
        """The octets of the section, NUL (which IMAP cannot carry) made 0x80; None where there is no such part."""
        found = self._raw(root, message)
        return found if found is None else found.replace(b"\0", b"\x80")

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole message, or all of it behind the header: no tree of parts is needed then."""
        return not self.path and self.kind in ("", "TEXT")

    def whole(self, message: bytes) -> bytes:
        """As :meth:`resolve`; only where ``is_whole`` holds."""
        found = message if self.kind == "" else message[header_end(message, 0) :]
        return found.replace(b"\0", b"\x80")

    def resolve_header(self, header: bytes) -> bytes:
        """As :meth:`resolve`, from the top header alone; only where ``header_only`` holds."""
        found = header if self.kind == "HEADER" else self.filter(header)
        return found.replace(b"\0", b"\x80")

    def part(self, root: Part) -> Part | None:
        """The part that the section's numbers name."""
        return _descend(root, self.path)

    def _raw(self, root: Part, message: bytes) -> bytes | None:
        part = self.part(root)
        if part is None:
            return None
        if self.kind == "":
            return message if not self.path else message[part.body : part.end]
        if self.kind == "MIME":
            return message[part.start : part.body]
        if self.path:
            # HEADER and TEXT below a part number are those of the message that the part encloses.
            if not part.is_message or not part.children:
                return None
            part = part.children[0]
        if self.kind == "TEXT":
            return message[part.body : part.end]
        header = message[part.start : part.body]
        return header if self.kind == "HEADER" else self.filter(header)

    def filter(self, header: bytes) -> bytes:
        """The fields of ``header`` (blank line included) that HEADER.FIELDS or HEADER.FIELDS.NOT names, in order."""
        keep = self.kind == "HEADER.FIELDS"
        end = header_end(header, 0)
        blank = 2 if header.endswith(b"\r\n", 0, end) else 1
        if header[:end] in (b"\n", b"\r\n") or header.endswith((b"\n\n", b"\n\r\n"), 0, end):
            end -= blank
        spans = [(found.start, found.end) for found in named(header, map(bytes.lower, self.names), 0, end)]
        if not keep:  # what lies between them
            edges = [0, *(edge for span in spans for edge in span), end]
            spans = [(first, last) for first, last in zip(edges[::2], edges[1::2], strict=True) if first < last]
        picked = [header[first:last] for first, last in spans]
        if picked and keep and not picked[-1].endswith(b"\n"):
            picked[-1] += b"\r\n"
        # As Dovecot: a top header that never ends in a blank line gets one where fields were picked by name.
        if (keep and not self.path) or header.endswith(b"\n\r\n") or header == b"\r\n":
            picked.append(b"\r\n")
        return b"".join(picked)


def _descend(root: Part, path: tuple[int, ...]) -> Part | None:
    """The part with that number; what is no multipart is its own part 1, an enclosed message is looked through."""
    part, alone = root, False
    for depth, number in enumerate(path):
        if depth > 0 and part.is_message and part.children:
            part, alone = part.children[0], False
        if part.is_multipart:
            if not 1 <= number <= len(part.children):
                return None
            part, alone = part.children[number - 1], False
        elif number == 1 and not alone:
            alone = True
        else:
            return None
    return part
