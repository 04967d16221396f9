"""THREAD: ORDEREDSUBJECT and REFERENCES (RFC 5256 sections 3 and 5), and REFS, which leaves subjects out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

_MESSAGE_ID = re.compile(rb"<\s*([^<>\s]+(?:@[^<>\s]+)?)\s*>")
# References beyond this many in one message are not followed.
MAX_REFERENCES = 200

ALGORITHMS = ("ORDEREDSUBJECT", "REFERENCES", "REFS")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Threadable:
    """What threading needs of a message. ``number`` is what is shown (sequence number or UID)."""

    number: int
    sent: datetime
    subject: str
    is_reply: bool
    message_id: bytes | None
    references: list[bytes]


@dataclass(slots=True, eq=False)
class Node:
    """A message, or a place for one that is missing."""

    message: Threadable | None = None
    parent: Node | None = None
    children: list[Node] = field(default_factory=list)

    @property
    def sent(self) -> datetime:
        """When it was sent; for a missing message, its first child's date."""
        if self.message is not None:
            return self.message.sent
        return self.children[0].sent if self.children else _EPOCH

    @property
    def order(self) -> tuple[datetime, int]:
        """What siblings are sorted by."""
        return self.sent, self.first_number

    @property
    def first_number(self) -> int:
        """The number of the message, or of the first one below."""
        if self.message is not None:
            return self.message.number
        return self.children[0].first_number if self.children else 0


def message_ids(value: bytes) -> list[bytes]:
    """The message identifiers in a field value."""
    return [found[1] for _, found in zip(range(MAX_REFERENCES), _MESSAGE_ID.finditer(value), strict=False)]


def write_threads(algorithm: str, messages: Iterable[Threadable]) -> bytes:
    """The thread list of a THREAD response."""
    if algorithm == "ORDEREDSUBJECT":
        roots = _by_subject(messages)
    else:
        roots = _by_references(messages, join_subjects=algorithm == "REFERENCES")
    return b"".join(map(_write_root, roots))


def _by_subject(messages: Iterable[Threadable]) -> list[Node]:
    threads: dict[str, Node] = {}
    for message in sorted(messages, key=lambda each: (each.sent, each.number)):
        node = Node(message)
        first = threads.setdefault(message.subject, node)
        if first is not node:
            first.children.append(node)
    return sorted(threads.values(), key=lambda node: node.order)


def _by_references(messages: Iterable[Threadable], *, join_subjects: bool) -> list[Node]:
    table: dict[bytes, Node] = {}
    extra: list[Node] = []
    for message in messages:
        node = table.setdefault(message.message_id, Node()) if message.message_id is not None else Node()
        if node.message is not None or message.message_id is None:  # no identifier, or one seen before
            node = Node()
            extra.append(node)
        node.message = message
        _link(node, [table.setdefault(each, Node()) for each in message.references])
    roots = [node for node in (*table.values(), *extra) if node.parent is None]
    if not join_subjects:
        roots.sort(key=_latest)
        roots = _pruned(roots)
        for root in roots:
            _sort(root.children)
        return roots
    roots = _pruned(roots)
    _sort(roots)
    roots = _joined_by_subject(roots)
    _sort(roots)
    return roots


def _latest(root: Node) -> tuple[datetime, int]:
    """What REFS orders threads by: when the last message was sent, then the first one's number, 0 if it is missing."""
    number = root.message.number if root.message is not None else 0
    return max((node.sent for node in _post_order([root]) if node.message is not None), default=_EPOCH), number


def _link(node: Node, chain: list[Node]) -> None:
    """Make each reference the parent of the next, and the last one the parent of ``node``, where no loop arises."""
    for above, below in pairwise(chain):
        if below.parent is None and not _reaches(above, below):
            _adopt(above, below)
    if node.parent is not None:
        node.parent.children.remove(node)
        node.parent = None
    if chain and not _reaches(chain[-1], node):
        _adopt(chain[-1], node)


def _adopt(parent: Node, child: Node) -> None:
    child.parent = parent
    parent.children.append(child)


def _reaches(node: Node | None, other: Node) -> bool:
    """Whether ``other`` is ``node`` or above it."""
    while node is not None:
        if node is other:
            return True
        node = node.parent
    return False


def _pruned(roots: list[Node]) -> list[Node]:
    """Take out missing messages without children, and those whose children can take their place."""
    order = list(_post_order(roots))
    for node in order:
        kept: list[Node] = []
        for child in node.children:
            if child.message is not None:
                kept.append(child)
            else:
                kept.extend(child.children)
        for child in kept:
            child.parent = node
        node.children = kept
    result: list[Node] = []
    for root in roots:
        if root.message is not None or len(root.children) > 1:
            result.append(root)
        else:
            for child in root.children:
                child.parent = None
                result.append(child)
    return result


def _post_order(roots: list[Node]) -> Iterator[Node]:
    """Every node, children before parents, without recursion: chains may be thousands deep."""
    stack = list(roots)
    seen: list[Node] = []
    while stack:
        node = stack.pop()
        seen.append(node)
        stack.extend(node.children)
    return reversed(seen)


def _sort(roots: list[Node]) -> None:
    for node in _post_order(roots):
        node.children.sort(key=lambda child: child.order)
    roots.sort(key=lambda node: node.order)


def _head(node: Node) -> Threadable | None:
    return node.message if node.message is not None else node.children[0].message


def _joined_by_subject(roots: list[Node]) -> list[Node]:
    """Step 5 of REFERENCES: threads with one base subject become one thread."""
    table: dict[str, Node] = {}
    for root in roots:
        head = _head(root)
        if head is None or not head.subject:
            continue
        other = table.get(head.subject)
        other_head = _head(other) if other is not None else None
        if other is None or (
            (root.message is None and other.message is not None)
            or (other_head is not None and other_head.is_reply and not head.is_reply and other.message is not None)
        ):
            table[head.subject] = root
    result: list[Node] = []
    for root in roots:
        head = _head(root)
        other = table.get(head.subject) if head is not None and head.subject else None
        if head is None or other is None or other is root:
            result.append(root)
            continue
        other_head = _head(other)
        if root.message is None and other.message is None:
            other.children.extend(root.children)
        elif other.message is None or (other_head is not None and not other_head.is_reply and head.is_reply):
            other.children.append(root)
        else:
            joint = Node(children=[Node(other.message, children=other.children), root])
            other.message, other.children = None, joint.children
    return result


def _write_root(root: Node) -> bytes:
    """One thread: a chain of numbers, and where it forks, each branch in parentheses."""
    out: list[bytes] = [b"("]
    stack: list[Node | bytes] = [b")", root]
    space = False
    while stack:
        node = stack.pop()
        if isinstance(node, bytes):
            out.append(node)
            space = False
            continue
        if node.message is not None:
            out.append(b" %d" % node.message.number if space else b"%d" % node.message.number)
            space = True
        if len(node.children) == 1:
            stack.append(node.children[0])
        elif node.children:
            if space:
                out.append(b" ")
            for child in reversed(node.children):
                stack.extend((b")", child, b"("))
    return b"".join(out)
