"""A mailbox with more messages than a session holds tells and shows the same as one that is held whole."""

import random
import sqlite3
from pathlib import Path

import pytest

from imap.store import Mailbox, NewMail, messages, uids
from imap.store.index import NAME

from .conftest import MAIL, MakeStore


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three messages are many."""
    for module, name in ((messages, "HOLD"), (messages, "BLOCK"), (uids, "BIG")):
        monkeypatch.setattr(module, name, 3)


def shown(box: Mailbox) -> dict[int, frozenset[str]]:
    return {uid: message.flags for uid, message in box.messages.items()}


@pytest.mark.parametrize("seed", range(8))
def test_two_sessions_agree_whatever_they_do(make_store: MakeStore, few: None, seed: int) -> None:
    rng = random.Random(seed)
    stores = make_store(), make_store()
    stores[0].append("INBOX", [NewMail(MAIL)] * 20)
    boxes = [store.open("INBOX") for store in stores]
    model: dict[int, frozenset[str]] = dict.fromkeys(range(1, 21), frozenset())
    for _ in range(60):
        number = rng.randrange(2)
        actor, other = boxes[number], boxes[1 - number]
        known = set(other.messages)
        what, some = rng.random(), set(rng.sample(sorted(model), min(3, len(model))))
        if what < 0.3 or len(model) < 8:
            model |= dict.fromkeys(stores[number].append("INBOX", [NewMail(MAIL)] * 2).uids, frozenset())
        elif what < 0.7:
            flag = rng.choice(["\\Seen", "\\Flagged", "kw"])
            actor.store(some, rng.choice(["add", "remove"]), [flag])
            model |= {uid: actor.messages[uid].flags for uid in some}
        else:
            actor.store(some, "add", ["\\Deleted"])
            actor.expunge(some)
            model = {uid: flags for uid, flags in model.items() if uid not in some}
        before = {uid: message.flags for uid in known & set(model) if (message := other.messages.held(uid))}
        changes = other.sync()
        actor.sync()
        assert shown(actor) == shown(other) == model
        assert set(changes.appended) == set(model) - known
        assert set(changes.expunged) == known - set(model)
        assert {uid for uid, flags in before.items() if flags != model[uid]} <= set(changes.flags)
        for box in boxes:  # the client is told
            for uid in list(box.messages.departed):
                box.messages.forget(uid)
            assert list(box.messages.uids) == sorted(model)
            assert box.unseen() == (
                sum("\\Seen" not in flags for flags in model.values()),
                min((uid for uid, flags in model.items() if "\\Seen" not in flags), default=0),
            )
        with make_store().open("INBOX", read_only=True) as fresh:
            assert shown(fresh) == model, "what is remembered of the UIDs is put right"
    for box in boxes:
        box.close()


def test_what_is_remembered_of_the_uids_is_used(make_store: MakeStore, maildir: Path, few: None) -> None:
    store = make_store()
    store.append("INBOX", [NewMail(MAIL)] * 40)
    store.open("INBOX").close()
    with sqlite3.connect(maildir / NAME) as db:  # rows that nobody would leave out: they show where the UIDs come from
        db.execute("DELETE FROM message WHERE uid = 7")
    db.close()
    with store.open("INBOX") as box:
        assert 7 in set(box.messages.uids)
        assert box.messages.get(7) is None
        assert len(list(box.messages.values())) == 39


def test_a_session_holds_no_more_than_it_may(make_store: MakeStore, few: None) -> None:
    store = make_store()
    store.append("INBOX", [NewMail(MAIL)] * 50)
    with store.open("INBOX") as box:
        assert sum(1 for _ in box.messages.values()) == 50
        assert sum(box.messages.held(uid) is not None for uid in box.messages) <= messages.HOLD + messages.BLOCK
