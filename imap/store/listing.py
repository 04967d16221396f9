"""What LIST shows: the names of a namespace, with parents, special uses and what comes up by itself."""

from collections.abc import Sequence
from dataclasses import dataclass

from imap.store.attributes import Attributes
from imap.store.layout import ROOT, Parts
from imap.store.place import Place
from imap.store.types import MailboxInfo, NamespaceInfo, SpecialMailbox

_INBOX: Parts = ("INBOX",)  # as a parent of INBOX's children


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace with its opened location."""

    info: NamespaceInfo
    place: Place
    owner: str = ""  # the user whose mail it is; "" of a public one
    attributes: Attributes | None = None  # another owner's, for what METADATA keeps in common

    def name(self, parts: Parts) -> str:
        """The full name of decoded parts."""
        if parts == ROOT:
            return "INBOX" if self.info.inbox else self.info.prefix.removesuffix(self.info.separator)
        return self.info.prefix + self.info.separator.join(parts)


def comes_by_itself(namespace: Namespace, parts: Parts) -> str | None:
    """ "create" or "subscribe" for a mailbox that is made when it is first opened."""
    if parts == ROOT and namespace.info.inbox:
        return "create"
    name = namespace.info.separator.join(parts)
    found = next((special for special in namespace.info.mailboxes if special.name == name), None)
    return found.auto if found is not None and found.auto != "no" else None


def names_of(namespace: Namespace, subscribed: set[str]) -> list[MailboxInfo]:
    """The names of one namespace: those on disk, those that come by themselves, and the parents of both."""
    info, place = namespace.info, namespace.place
    found = set(place.names())
    found.update(tuple(special.name.split(info.separator)) for special in info.mailboxes if special.auto != "no")
    if info.inbox:
        found.add(ROOT)
    present = {parts for parts in found if place.location.layout == "maildir++" or _selectable(namespace, parts)}
    everything = {parts[:depth] for parts in found for depth in range(1, len(parts) + 1)}
    with_children = {parts[:-1] for parts in everything if len(parts) > 1}
    everything.discard(_INBOX if info.inbox and not info.prefix else ROOT)
    if not info.inbox and info.prefix and everything and info.prefix.removesuffix(info.separator).upper() != "INBOX":
        with_children.add(ROOT)
        everything.add(ROOT)
    if ROOT in found:
        everything.add(ROOT)
    if info.inbox and not info.prefix and _INBOX in with_children:
        with_children.add(ROOT)
    if info.listed == "yes" and info.prefix and not info.inbox:
        everything.add(ROOT)
    if info.listed == "children" and ROOT not in with_children and not info.inbox:
        everything.discard(ROOT)
    return [
        MailboxInfo(
            name=namespace.name(parts),
            selectable=parts in present,
            has_children=parts in with_children,
            subscribed=namespace.name(parts) in subscribed,
            special_use=special_use(info.mailboxes, info.separator.join(parts)),
            separator=info.separator,
            namespace=info.prefix,
        )
        for parts in everything
    ]


def _selectable(namespace: Namespace, parts: Parts) -> bool:
    return namespace.place.exists(parts) or comes_by_itself(namespace, parts) is not None


def parents_of(namespace: Namespace) -> list[MailboxInfo]:
    """What stands above a namespace in which there are mailboxes."""
    info = namespace.info
    parts = info.prefix.removesuffix(info.separator).split(info.separator)
    names = [info.separator.join(parts[:depth]) for depth in range(1, len(parts))]
    return [MailboxInfo(name, selectable=False, has_children=True, separator=info.separator) for name in names]


def special_use(mailboxes: Sequence[SpecialMailbox], name: str) -> tuple[str, ...]:
    """The uses that the configuration gives to a name within its namespace."""
    return next((special.special_use for special in mailboxes if special.name == name), ())
