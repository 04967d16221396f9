"""From a mailbox name of the client to the namespace that it lies in and its parts there."""

from collections.abc import Sequence

from imap.store import location
from imap.store.errors import InvalidName, NonExistent, NoPermission
from imap.store.layout import ROOT, Parts, split
from imap.store.listing import Namespace
from imap.store.place import Place
from imap.store.types import NamespaceInfo


class Names:
    """A user's namespaces. `anywhere` is the mail root's path if absolute names may open any maildir beneath it."""

    def __init__(self, namespaces: Sequence[Namespace], anywhere: str | None) -> None:
        # The longest prefix that fits decides.
        self.all = sorted(namespaces, key=lambda namespace: -len(namespace.info.prefix))
        self.inbox = next(namespace for namespace in namespaces if namespace.info.inbox)
        self._anywhere = anywhere
        for namespace in namespaces:
            namespace.place.counter = self.inbox.place

    def namespace(self, name: str) -> Namespace:
        """The namespace that a name belongs to. Raises InvalidName."""
        if name.upper() == "INBOX":
            return self.inbox
        for namespace in self.all:
            prefix = namespace.info.prefix
            folded = name[: len(prefix)]
            in_inbox = prefix.upper().startswith("INBOX") and folded.upper() == prefix.upper()
            if folded == prefix or in_inbox or name == prefix.removesuffix(namespace.info.separator):
                return namespace
        raise InvalidName("Invalid namespace", code="CANNOT")

    def resolve(self, name: str) -> tuple[Namespace, Parts]:
        """The namespace and the decoded parts of a name. Raises InvalidName."""
        if self._anywhere is not None and name.startswith("/"):
            return self._foreign(name, self._anywhere), ROOT
        namespace = self.namespace(name)
        info = namespace.info
        if name.upper() == "INBOX" or (info.prefix and name == info.prefix.removesuffix(info.separator)):
            return namespace, ROOT
        parts = split(name[len(info.prefix) :], info.separator, namespace.place.location.separator)
        if info.inbox and parts[0].upper() == "INBOX":
            parts = ("INBOX", *parts[1:])
        return namespace, parts

    def _foreign(self, path: str, mail_root: str) -> Namespace:
        """mail_full_filesystem_access: the maildir at an absolute path. The descriptor's jail still holds."""
        try:
            at = location.parse(f"maildir:{path.replace(':', '::')}", mail_root)
        except location.BadLocation as error:
            raise NoPermission(reason=error.reason) from error
        known = next((namespace for namespace in self.all if namespace.info.prefix == path), None)
        if known is not None:
            return known
        place = Place(self.inbox.place.root, at)
        if not place.exists(ROOT):
            raise NonExistent(path)
        place.counter = self.inbox.place
        self.all.append(Namespace(NamespaceInfo(path, "/", listed="no", subscriptions=False), place))
        return self.all[-1]
