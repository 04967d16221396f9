"""MX and address lookups: order, families, loops, and what is said when nothing is found."""

from __future__ import annotations

import pytest

from mta.delivery.smtp.hosts import HostAddress, HostFailure, balanced, find
from mta.delivery.smtp.nexthop import parse
from mta.delivery.smtp.settings import ClientSettings
from mta.dns import NotFound, TempFail

SETTINGS = ClientSettings()


async def addresses(names, text: str, settings: ClientSettings = SETTINGS, mine=()) -> list[str]:
    return [host.address for host in await find(parse(text, "smtp"), settings, names, mine)]


async def test_mx_hosts_by_preference(names) -> None:
    names.mx["example.net"] = [(20, "b.example"), (10, "a.example")]
    names.hosts |= {"a.example": ["192.0.2.1"], "b.example": ["192.0.2.2"]}
    assert await addresses(names, "example.net") == ["192.0.2.1", "192.0.2.2"]


async def test_brackets_and_disabled_dns_ask_for_no_mx(names) -> None:
    names.mx["example.net"] = [(10, "a.example")]
    names.hosts |= {"a.example": ["192.0.2.1"], "example.net": ["192.0.2.9"]}
    assert await addresses(names, "[example.net]") == ["192.0.2.9"]
    assert await addresses(names, "example.net", ClientSettings(use_dns=False)) == ["192.0.2.9"]


async def test_no_mx_means_the_domain_itself(names) -> None:
    names.hosts["example.net"] = ["192.0.2.9"]
    assert await addresses(names, "example.net") == ["192.0.2.9"]


async def test_address_literal_needs_no_lookup(names) -> None:
    assert await addresses(names, "[192.0.2.7]") == ["192.0.2.7"]


@pytest.mark.parametrize(("preference", "first"), [("ipv4", "192.0.2.1"), ("ipv6", "2001:db8::1")])
async def test_address_preference(names, preference: str, first: str) -> None:
    names.hosts["h.example"] = ["2001:db8::1", "192.0.2.1"]
    found = await addresses(names, "[h.example]", ClientSettings(address_preference=preference))
    assert found[0] == first
    assert len(found) == 2


async def test_a_family_that_is_off_is_not_used(names) -> None:
    names.hosts["h.example"] = ["2001:db8::1", "192.0.2.1"]
    assert await addresses(names, "[h.example]", ClientSettings(protocols=("ipv4",))) == ["192.0.2.1"]
    with pytest.raises(HostFailure):
        await addresses(names, "[2001:db8::1]", ClientSettings(protocols=("ipv4",)))


async def test_null_mx(names) -> None:
    names.mx["example.net"] = []
    with pytest.raises(HostFailure) as caught:
        await addresses(names, "example.net")
    assert (caught.value.dsn.status, caught.value.dsn.reason) == (
        "5.1.0",
        "Domain example.net does not accept mail (nullMX)",
    )


async def test_mail_gets_nearer(names) -> None:
    names.mx["example.net"] = [(10, "a.example"), (20, "me.example"), (30, "c.example")]
    names.hosts |= {"a.example": ["192.0.2.1"], "me.example": ["192.0.2.2"], "c.example": ["192.0.2.3"]}
    assert await addresses(names, "example.net", mine=["192.0.2.2"]) == ["192.0.2.1"]
    with pytest.raises(HostFailure) as caught:
        await addresses(names, "example.net", mine=["192.0.2.1"])
    assert caught.value.dsn.reason == "mail for example.net loops back to myself"


class Broken:
    def __init__(self, mx: Exception | None, address: Exception) -> None:
        self.mx, self.address = mx, address

    async def mail_exchangers(self, name: str):
        if self.mx:
            raise self.mx
        return [(10, "a.example")]

    async def addresses(self, name: str, **_: bool):
        raise self.address


GONE = NotFound("a.example", "A", "Host not found", exists=False)
NO_DOMAIN = NotFound("x.example", "MX", "", exists=False)
DOWN = TempFail("a.example", "A", "try again")


@pytest.mark.parametrize(
    ("names", "status", "reason"),
    [
        (Broken(None, GONE), "5.4.4", "name=a.example type=AAAA: Host not found"),
        (Broken(None, DOWN), "4.4.3", "name=a.example type=AAAA: Host not found, try again"),
        (Broken(TempFail("x.example", "MX", ""), GONE), "4.4.3", "name=x.example type=MX: Host not found, try again"),
        (
            Broken(NotFound("x.example", "MX", "", exists=False), GONE),
            "5.4.4",
            "name=x.example type=AAAA: Host not found",
        ),
    ],
)
async def test_failures(names, status: str, reason: str) -> None:
    with pytest.raises(HostFailure) as caught:
        await addresses(names, "x.example")
    assert caught.value.dsn.status == status
    assert caught.value.dsn.reason == f"Host or domain name not found. Name service error for {reason}"


@pytest.mark.parametrize(
    ("families", "limit", "kept"),
    [
        ("666664", 5, "66664"),
        ("664444", 4, "6644"),
        ("444444", 3, "444444"),  # one family: the limit itself is applied later
        ("6666644444", 5, "66644"),
        ("4444466666", 5, "44666"),
        ("64", 1, "6"),
        ("64", 2, "64"),
    ],
)
def test_a_limit_leaves_both_families(families: str, limit: int, kept: str) -> None:
    hosts = [HostAddress("h", "::1" if family == "6" else "127.0.0.1") for family in families]
    assert "".join("6" if host.ipv6 else "4" for host in balanced(hosts, limit)) == kept


@pytest.mark.parametrize(("balance", "last"), [(True, "192.0.2.1"), (False, "2001:db8::3")])
async def test_many_addresses_of_one_family_do_not_hide_the_other(names, balance: bool, last: str) -> None:
    names.hosts["example.net"] = [f"2001:db8::{n}" for n in range(1, 6)] + ["192.0.2.1"]
    settings = ClientSettings(mx_address_limit=3, randomize=False, address_preference="ipv6", balance_protocols=balance)
    assert (await addresses(names, "example.net", settings))[:3][-1] == last


async def test_mx_records_that_cannot_be_asked_may_be_ignored(names, monkeypatch) -> None:
    async def fails(name: str) -> list[tuple[int, str]]:
        raise TempFail(name, "MX", "try again")

    monkeypatch.setattr(names, "mail_exchangers", fails)
    names.hosts["example.net"] = ["192.0.2.9"]
    with pytest.raises(HostFailure):
        await addresses(names, "example.net")
    assert await addresses(names, "example.net", ClientSettings(ignore_mx_error=True)) == ["192.0.2.9"]
