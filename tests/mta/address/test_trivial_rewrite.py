"""Rewriting and resolving, beside what trivial-rewrite(8) of Postfix 3.7 answered for the same addresses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mta.address import AddressClass, Resolver, Rewriter, extract_address
from mta.config import ConfigErrors, MainConfig
from mta.tables import TableError

MakeConfig = Callable[..., MainConfig]
RECORDED = json.loads(Path(__file__).with_name("trivial_rewrite.json").read_text(encoding="utf-8"))
VARIANTS = [pytest.param(variant, id=variant["name"]) for variant in RECORDED["variants"]]


@pytest.mark.parametrize("variant", VARIANTS)
def test_rewriting(variant: dict[str, Any], config: MakeConfig) -> None:
    rewriter = Rewriter.of(config(**variant["settings"]))
    for address, local, remote, _route in variant["cases"]:
        assert (address, rewriter.rewrite_external(address)) == (address, local)
        assert (address, rewriter.rewrite_external(address, "remote")) == (address, remote)


@pytest.mark.parametrize("variant", VARIANTS)
async def test_resolving(variant: dict[str, Any], config: MakeConfig) -> None:
    resolver = Resolver(config(**variant["settings"]))
    for address, _local, _remote, route in variant["cases"]:
        found = await resolver.resolve(address, "s@snd.test")
        ours = [str(found.address_class), found.transport, found.nexthop, found.recipient, found.routed]
        assert (address, "error" if found.error else ours) == (address, route)


RELAY_FORMS = [
    "user%out.test@example.com",
    "user@out.test@example.com",
    '"user@out.test"@example.com',
    "out.test!user@example.com",
    "user%out.test@[127.0.0.1]",
    "user%out.test",
    "out.test!user",
    "@example.com:user@out.test",
    "@example.com,@mx.example.com:user@out.test",
    "user@out.test@[127.0.0.1]",
    '"user%out.test"@example.com',
    "out.test!user@[127.0.0.1]",
]


@pytest.mark.parametrize("address", RELAY_FORMS)
async def test_no_relay_form_passes_for_local(address: str, config: MakeConfig) -> None:
    resolver = Resolver(config(mydestination="$myhostname, example.com"))
    found = await resolver.resolve(extract_address(f"<{address}>"))
    assert found.address_class is AddressClass.DEFAULT
    assert found.domain == "out.test"


@pytest.mark.parametrize(
    "address", ["user%out.test@relay.test", "out.test!user@relay.test", "user@out.test@relay.test"]
)
async def test_routing_through_a_relay_domain_is_marked(address: str, config: MakeConfig) -> None:
    found = await Resolver(config(relay_domains="relay.test")).resolve(address)
    assert found.address_class is AddressClass.RELAY
    assert found.routed


async def test_sender_dependent_routes(config: MakeConfig) -> None:
    resolver = Resolver(
        config(
            relayhost="[smart]",
            sender_dependent_relayhost_maps="inline:{{a@s.test=[own]:587},{b@s.test=DUNNO},{<>=[null]}}",
            sender_dependent_default_transport_maps="inline:{@t.test=slow:hop}",
        )
    )
    routes = {
        sender: (
            (await resolver.resolve("x@y.test", sender)).transport,
            (await resolver.resolve("x@y.test", sender)).nexthop,
        )
        for sender in ("a@s.test", "b@s.test", "c@s.test", "", "any@t.test")
    }
    assert routes == {
        "a@s.test": ("smtp", "[own]:587"),
        "b@s.test": ("smtp", "[smart]"),
        "c@s.test": ("smtp", "[smart]"),
        "": ("smtp", "[null]"),
        "any@t.test": ("slow", "hop"),
    }


async def test_the_transport_wildcard_and_a_noop_entry(config: MakeConfig) -> None:
    resolver = Resolver(config(transport_maps="inline:{*=smtp:[all], keep.test=:}", relayhost="[smart]"))
    assert (await resolver.resolve("x@y.test")).nexthop == "[all]"
    assert (await resolver.resolve("x@keep.test")).nexthop == "[smart]"


async def test_a_table_that_fails_is_never_a_verdict(config: MakeConfig) -> None:
    for name in ("transport_maps", "relay_domains", "virtual_alias_domains", "mydestination", "relocated_maps"):
        with pytest.raises(TableError):
            await Resolver(config(**{name: "fail:x"})).resolve("user@somewhere.test")
    with pytest.raises(TableError):
        await Resolver(config(default_transport=":x")).resolve("user@somewhere.test")


def test_an_unknown_table_type_is_a_configuration_error(config: MakeConfig) -> None:
    with pytest.raises(ConfigErrors, match=r"main\.cf, line 4: relay_domains: unsupported dictionary type: foo"):
        Resolver(config(relay_domains="foo:bar"))


async def test_answers_are_cached_and_bounded(config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mta.address.resolve.CACHE_LIMIT", 3)
    resolver = Resolver(config())
    first = await resolver.resolve("a@b.test")
    assert await resolver.resolve("a@b.test") == first
    for i in range(5):
        await resolver.resolve(f"a@b{i}.test")
    assert len(resolver._cache) == 3


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.text(alphabet='ab@%!":,;<>()[]\\. \t\nexü\x00', max_size=40))
async def test_any_address_resolves(config: MakeConfig, address: str) -> None:
    resolver = Resolver(config(mydestination="$myhostname, example.com, a, b"))
    for end in range(len(address) + 1):
        found = await resolver.resolve(address[:end])
        assert found.error or "@" in found.recipient
        # Local means local: no domain but the host's own is left behind the last @.
        if found.address_class is AddressClass.LOCAL:
            assert await resolver.domains.is_local(found.domain)


LOCAL_PARTS = ["a", "b.c", "-d", "e%f", "g!h", '"i j"', "k+l", "double-bounce", "m@n.test"]
DOMAINS = ["example.com", "out.test", "virtual.test", "1.2.3.4", "[1.2.3.4]", "relay.test", "x_y.test", "bad-.test"]


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("table", [{}, {"transport_maps": "inline:{b.c@out.test=slow:}"}])
async def test_what_was_found_for_one_address_is_right_for_the_next(
    domain: str, table: dict[str, str], config: MakeConfig
) -> None:
    made = config(
        mydestination="example.com", virtual_alias_domains="virtual.test", relay_domains="relay.test", **table
    )
    warm = Resolver(made)
    for local in [*LOCAL_PARTS, *LOCAL_PARTS[::-1]]:
        address = f"{local}@{domain}"
        assert await warm.resolve(address, "s@snd.test") == await Resolver(made).resolve(address, "s@snd.test")
