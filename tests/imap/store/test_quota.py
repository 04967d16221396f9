"""Quota: rules of dovecot.conf, and that nothing is stored above them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imap.store import Limits, NewMail, OverQuota
from imap.store.quota import BadQuota, QuotaRoot, Rule, parse_rule, roots

from .conftest import MakeStore


def root(*rules: str, grace: str = "0") -> QuotaRoot:
    return QuotaRoot("User quota", tuple(parse_rule(rule) for rule in rules), grace)


def test_rules() -> None:
    quota = root(
        "*:storage=20K:messages=6", "Trash:storage=+10K", "Big:storage=+50%", "Spam:ignore", "Lists*:messages=2"
    )
    assert quota.limits() == Limits(20 * 1024, 6)
    assert quota.limits("Trash") == Limits(30 * 1024, 6)
    assert quota.limits("Big") == Limits(30 * 1024, 6)
    assert quota.limits("Lists.a") == Limits(20 * 1024, 2)
    assert quota.ignores("Spam")
    assert root("*:storage=5").limits().storage == 5 * 1024
    assert root("*:bytes=5").limits().storage == 5


def test_settings_of_the_plugin_block() -> None:
    settings = {
        "quota": "count:User quota",
        "quota_rule": "*:storage=1M",
        "quota_rule2": "Trash:ignore",
        "quota_grace": "5%",
    }
    (found,) = roots(settings)
    assert found == QuotaRoot("User quota", (Rule("*", "1M"), Rule("Trash", ignored=True)), "5%")
    (found,) = roots(settings, {"quota_rule": "*:storage=2M"})
    assert found.limits().storage == 2 * 1024**2
    assert roots({}) == ()


@pytest.mark.parametrize("text", ["", "x", "*:", ":storage=1", "*:storage=", "*:storage=1X", "*:storage=-", "*:what=1"])
def test_bad_rules(text: str) -> None:
    with pytest.raises(BadQuota):
        parse_rule(text)


@given(st.text(alphabet="*:storagemib=+-0123456789KMG%.", max_size=30))
def test_only_the_typed_error_escapes(text: str) -> None:
    try:
        rule = parse_rule(text)
    except BadQuota:
        return
    limits = QuotaRoot("q", (rule,)).limits("INBOX")
    assert limits.storage >= 0
    assert limits.messages >= 0


def test_grace_is_for_deliveries_only() -> None:
    quota = root("*:storage=1000B", grace="10%")
    quota.check(Limits(900, 1), 150, 1, "INBOX", delivery=True)
    with pytest.raises(OverQuota):
        quota.check(Limits(900, 1), 201, 1, "INBOX", delivery=True)
    with pytest.raises(OverQuota):
        quota.check(Limits(900, 1), 150, 1, "INBOX")


def test_append_deliver_and_copy_are_refused_move_is_not(make_store: MakeStore, mail: bytes) -> None:
    store = make_store(quota=(root(f"*:storage={len(mail) * 3}B"),))
    store.create("box")
    store.append("INBOX", [NewMail(mail)])
    store.deliver("INBOX", NewMail(mail))
    assert store.quota_usage(store.quota_roots[0]) == Limits(2 * len(mail), 2)
    with pytest.raises(OverQuota):
        store.append("box", [NewMail(mail), NewMail(mail)])
    with store.open("INBOX") as inbox:
        with pytest.raises(OverQuota) as caught:
            inbox.copy([1, 2], "box")
        assert (caught.value.code, caught.value.text) == ("OVERQUOTA", "Quota exceeded (mailbox for user is full)")
        inbox.copy([1], "box")
        with pytest.raises(OverQuota):
            store.deliver("INBOX", NewMail(mail))
        inbox.move([1, 2], "box")
    assert store.status("box").messages == 3
    assert store.status("INBOX").messages == 0
