"""The messages of an open mailbox: all their UIDs in one array, and of a big mailbox only those that are looked at."""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Sequence

from imap.store.types import Message

# So many messages a session holds; a mailbox with more is read in blocks, and what was held is forgotten then.
HOLD = 20_000
BLOCK = 1000

# Gives the messages whose UIDs lie between two, both included.
Read = Callable[[int, int], Iterable[Message]]
Measure = Callable[[Message], tuple[int, int, str]]


class Messages:
    """UID -> Message, in ascending order of the UIDs.

    ``uids`` has also those that went and whose numbers the client still counts (``departed``), until :meth:`forget`.
    A message that another session has expunged since the last sync() may be missing here before it has departed.
    """

    def __init__(self, read: Read, measure: Measure) -> None:
        self.uids = array("I")
        self.departed: dict[int, Message] = {}
        self._read = read
        self._measure = measure
        self._held: dict[int, Message] = {}

    def __contains__(self, uid: int) -> bool:
        return self.position(uid) >= 0 and uid not in self.departed

    def __len__(self) -> int:
        return len(self.uids) - len(self.departed)

    def __iter__(self) -> Iterator[int]:
        return (uid for uid in self.uids if uid not in self.departed) if self.departed else iter(self.uids)

    def __getitem__(self, uid: int) -> Message:
        message = self.get(uid)
        if message is None:
            raise KeyError(uid)
        return message

    def position(self, uid: int) -> int:
        """Where a UID stands in `uids`, -1 where it does not."""
        index = bisect_left(self.uids, uid)
        return index if index < len(self.uids) and self.uids[index] == uid else -1

    def count(self, uids: range) -> int:
        """How many UIDs lie in a range, those of departed messages included."""
        return max(0, bisect_left(self.uids, uids.stop) - bisect_left(self.uids, uids.start))

    def get(self, uid: int) -> Message | None:
        """The message, None where there is none of this UID (any more)."""
        message = self._held.get(uid)
        if message is None and uid in self:
            position = self.position(uid)
            self._load(self.uids[position : position + BLOCK])
            message = self._held.get(uid)
        return message

    def held(self, uid: int) -> Message | None:
        """The message if it need not be read."""
        return self._held.get(uid)

    def select(self, uids: Sequence[int]) -> list[Message] | None:
        """The messages of ascending UIDs (at most some thousand); None where one of them is not there."""
        found = list(map(self._held.get, uids))
        if None in found:
            self._load(uids)
            found = list(map(self._held.get, uids))
        messages = [message for message in found if message is not None]
        return messages if len(messages) == len(found) else None

    def items(self) -> Iterator[tuple[int, Message]]:
        """UID and message."""
        return ((message.uid, message) for message in self.values())

    def values(self) -> Iterator[Message]:
        """The messages."""
        return (message for uid in self if (message := self.get(uid)) is not None)

    def begin(self, uids: array[int]) -> None:
        """These are all; so many as may be held are read at once."""
        self.uids = uids
        if 0 < len(uids) <= HOLD:
            self._load(uids)

    def add(self, message: Message) -> None:
        """One more: a new one, or (it was in the uidlist before it was on the disk) one between others."""
        if not self.uids or message.uid > self.uids[-1]:
            self.uids.append(message.uid)
        else:
            insort(self.uids, message.uid)
        self._held[message.uid] = message

    def depart(self, uid: int, flags: frozenset[str] = frozenset()) -> None:
        """The message went: it is kept as it was, or (if it was not held) with these flags."""
        if uid in self:
            held = self._held.pop(uid, None)
            self.departed[uid] = held if held is not None else Message(uid, flags, 0, self._measure)

    def forget(self, uid: int) -> Message | None:
        """The client knows that it went: its number is free. Returns what was kept."""
        position = self.position(uid)
        if position >= 0:
            del self.uids[position]
        return self.departed.pop(uid, None)

    def _load(self, uids: Sequence[int]) -> None:
        if len(self._held) >= HOLD:
            self._held.clear()
        for message in self._read(uids[0], uids[-1]):
            if message.uid in self:
                self._held.setdefault(message.uid, message)
