"""Fixtures: a mail root in a temporary directory and users' stores in it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imap.store import MailRoot, NamespaceInfo, QuotaRoot, SpecialMailbox, UserStore
from imap.store.location import parse

MakeStore = Callable[..., UserStore]

MAIL = b"Subject: hello\r\nFrom: a@example.org\r\n\r\nFirst line\r\nSecond line\r\n"


@pytest.fixture
def mail() -> bytes:
    return MAIL


@pytest.fixture
def make_store(tmp_path: Path) -> Iterator[MakeStore]:
    """Opens a store of a user, "alice" by default; several of one user stand for several sessions."""
    root = MailRoot.open(tmp_path)
    opened: list[UserStore] = []

    def make(
        user: str = "alice",
        location: str = "maildir:~/Maildir",
        separator: str | None = None,
        mailboxes: tuple[SpecialMailbox, ...] = (),
        anywhere: str | None = None,
        quota: tuple[QuotaRoot, ...] = (),
    ) -> UserStore:
        place = parse(location, str(tmp_path), f"{tmp_path}/{user}")
        info = NamespaceInfo("", separator or place.separator, inbox=True, mailboxes=mailboxes)
        store = root.user(user, [(info, place)], anywhere=anywhere, quota=quota)
        opened.append(store)
        return store

    yield make
    for store in opened:
        store.close()
    root.close()


@pytest.fixture
def store(make_store: MakeStore) -> UserStore:
    return make_store()


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    """Where alice's maildir lies."""
    return tmp_path / "alice" / "Maildir"
