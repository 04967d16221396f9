"""Match lists and search orders."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.address import Keys, Resolver, domain_list, name_address_list, string_list
from mta.address.matchlist import AddressList, read_patterns
from mta.address.search import network_prefixes
from mta.config import ConfigErrors, MainConfig
from mta.tables import Maps, SpecError, Table, TableError, open_maps

MakeConfig = Callable[..., MainConfig]


async def test_string_lists_match_whole_names(config: MakeConfig) -> None:
    names = string_list(
        config(mydestination="$myhostname, Example.COM, !not.example, inline:{t.test=x}"), "mydestination"
    )
    for name, expected in {
        "mx.example.com": True,
        "EXAMPLE.com": True,
        "sub.example.com": False,
        "not.example": False,
        "t.test": True,
        "sub.t.test": False,
        "": False,
    }.items():
        assert (name, await names.match(name)) == (name, expected)


async def test_the_first_match_decides(config: MakeConfig) -> None:
    names = domain_list(config(relay_domains="!bad.example.com, example.com"), "relay_domains")
    assert await names.match("example.com")
    assert await names.match("good.example.com")
    assert not await names.match("bad.example.com")
    assert not await names.match("worse.bad.example.com")
    assert not await names.match("notexample.com")


async def test_parents_match_only_where_the_parameter_is_listed(config: MakeConfig) -> None:
    dotted = config(
        relay_domains="example.com, .sub.test, inline:{t.test=x, .u.test=x}", parent_domain_matches_subdomains=""
    )
    names = domain_list(dotted, "relay_domains")
    for name, expected in {
        "example.com": True,
        "a.example.com": False,
        "sub.test": False,
        "a.sub.test": True,
        "t.test": True,
        "a.t.test": False,
        "u.test": False,
        "a.u.test": True,
        "a.b.u.test": True,
    }.items():
        assert (name, await names.match(name)) == (name, expected)
    parents = domain_list(config(relay_domains="inline:{t.test=x}"), "relay_domains")
    assert await parents.match("a.b.t.test")


async def test_clients_match_by_name_or_address(config: MakeConfig, tmp_path: Path) -> None:
    (tmp_path / "list").write_text("# comment\n192.0.2.7\n!192.0.2.8, 192.0.2.0/29\n")
    clients = name_address_list(
        config(
            mynetworks="127.0.0.0/8 [::1]/128 [2001:db8::]/32 !10.0.0.5 10.0.0.0/8 [192.0.2.99] .trusted.example"
            f" {tmp_path}/list"
            " cidr:{{198.51.100.0/24 OK}}"
        ),
        "mynetworks",
    )
    for name, address, expected in [
        ("x", "127.9.9.9", True),
        ("x", "::1", True),
        ("x", "0:0:0:0:0:0:0:1", True),
        ("x", "2001:db8:5::1", True),
        ("x", "2001:db9::1", False),
        ("x", "10.0.0.5", False),
        ("x", "10.0.0.6", True),
        ("x", "192.0.2.99", True),
        ("x", "192.0.2.7", True),
        ("x", "192.0.2.8", False),
        ("x", "192.0.2.1", True),
        ("x", "192.0.2.9", False),
        ("x", "198.51.100.3", True),
        ("x", "203.0.113.1", False),
        ("x", "not an address", False),
    ]:
        assert (address, await clients.match_client(name, address)) == (address, expected)


async def test_negated_files(config: MakeConfig, tmp_path: Path) -> None:
    (tmp_path / "list").write_text("192.0.2.7 !192.0.2.8\n")
    clients = name_address_list(config(mynetworks=f"!{tmp_path}/list 192.0.2.0/24"), "mynetworks")
    assert not await clients.match_client("x", "192.0.2.7")
    assert await clients.match_client("x", "192.0.2.8")
    assert await clients.match_client("x", "192.0.2.9")


async def test_a_malformed_network_stops_the_search_where_it_stands(config: MakeConfig) -> None:
    clients = name_address_list(config(mynetworks="127.0.0.1 192.0.2.1/24 10.0.0.0/8"), "mynetworks")
    assert await clients.match_client("x", "127.0.0.1")
    with pytest.raises(TableError, match="non-null host address bits"):
        await clients.match_client("x", "10.0.0.1")


async def test_a_missing_file_is_a_temporary_error(config: MakeConfig) -> None:
    clients = name_address_list(config(mynetworks="127.0.0.1 /nonexistent"), "mynetworks")
    assert await clients.match_client("x", "127.0.0.1")
    with pytest.raises(TableError, match="No such file"):
        await clients.match_client("x", "127.0.0.2")


def test_lists_that_can_never_work(config: MakeConfig, tmp_path: Path) -> None:
    (tmp_path / "loop").write_text(f"{tmp_path}/loop\n")
    for value, complaint in {
        "foo:bar": "unsupported dictionary type: foo",
        "127.0.0.1 !": "no pattern after '!'",
        "2001:db8::/32": "must be enclosed in",
        f"{tmp_path}/loop": "nested too deeply",
    }.items():
        with pytest.raises(ConfigErrors, match=complaint):
            name_address_list(config(mynetworks=value), "mynetworks")


@given(st.text(alphabet="ab.:/[]!,1 #{}", max_size=40))
async def test_any_list_is_read_or_refused(text: str) -> None:
    try:
        found = AddressList("test", read_patterns(text))
        await found.match("1.1.1.1")
        await found.match("::a")
    except (SpecError, ValueError, TableError):
        pass


class Recorder(Table):
    """A table that remembers what it was asked."""

    def __init__(self, *, exact: bool = True) -> None:
        super().__init__("recorder")
        self.exact = exact
        self.asked: list[str] = []

    async def lookup(self, key: str) -> str | None:
        self.asked.append(key)
        return None


async def asked(config: MainConfig, address: str, how: str, *, exact: bool = True) -> list[str]:
    resolver = Resolver(config)
    table = Recorder(exact=exact)
    maps = Maps("test", [table])
    if how == "default":
        await resolver.search.find(maps, address)
    else:
        await getattr(resolver.search, how)(maps, address)
    return table.asked


async def test_the_order_of_virtual_and_canonical_tables(config: MakeConfig) -> None:
    ours = config(recipient_delimiter="+", mydestination="example.com")
    assert await asked(ours, "user+ext@example.com", "default") == [
        "user+ext@example.com",
        "user@example.com",
        "user+ext",
        "user",
        "@example.com",
    ]
    assert await asked(ours, "user+ext@out.test", "default") == ["user+ext@out.test", "user@out.test", "@out.test"]
    assert await asked(ours, "user+ext@out.test", "default", exact=False) == ["user+ext@out.test"]


async def test_the_order_of_access_tables(config: MakeConfig) -> None:
    parents = config(recipient_delimiter="+")
    assert await asked(parents, "user+ext@a.b.test", "access") == [
        "user+ext@a.b.test",
        "user@a.b.test",
        "a.b.test",
        "b.test",
        "test",
        "user+ext@",
        "user@",
    ]
    dotted = config(parent_domain_matches_subdomains="")
    assert await asked(dotted, "user@a.b.test", "access") == ["user@a.b.test", "a.b.test", ".b.test", ".test", "user@"]
    assert await asked(parents, "host.a.test", "access_host") == ["host.a.test", "a.test", "test"]
    assert await asked(dotted, "host.a.test", "access_host") == ["host.a.test", ".a.test", ".test"]
    assert await asked(parents, "192.0.2.1", "access_client_address") == ["192.0.2.1", "192.0.2", "192.0", "192"]


async def test_the_order_of_transport_tables(config: MakeConfig) -> None:
    assert await asked(config(recipient_delimiter="+"), "u+e@a.b.test", "transport") == [
        "u+e@a.b.test",
        "u@a.b.test",
        "a.b.test",
        ".b.test",
        ".test",
    ]


async def test_quoted_addresses_are_asked_quoted_first(config: MakeConfig) -> None:
    assert await asked(config(), "first last@out.test", "default") == [
        '"first last"@out.test',
        "first last@out.test",
        "@out.test",
    ]


async def test_mapping_keeps_extensions_and_local_parts(config: MakeConfig) -> None:
    ours = config(
        recipient_delimiter="+",
        virtual_alias_maps='inline:{{u@v.test=a@w.test, "b c"@w.test, plain},@all.test=@new.test,{n@v.test=,}}',
    )
    search = Resolver(ours).search
    maps = open_maps(ours.str("virtual_alias_maps"), ours)
    assert await search.map(maps, "u+x@v.test", propagate=True) == [
        "a+x@w.test",
        "b c+x@w.test",
        "plain+x@mx.example.com",
    ]
    assert await search.map(maps, "u+x@v.test", propagate=False) == ["a@w.test", "b c@w.test", "plain@mx.example.com"]
    assert await search.map(maps, "joe+y@all.test", propagate=True) == ["joe+y@new.test"]
    assert await search.map(maps, "nobody@v.test", propagate=True) is None
    with pytest.raises(TableError, match="non-address result"):
        await search.map(maps, "n@v.test", propagate=True)


async def test_found_tells_key_and_extension(config: MakeConfig) -> None:
    ours = config(recipient_delimiter="+")
    found = await Resolver(ours).search.find(open_maps("inline:{u@d.test=x}", ours), "u+e@d.test")
    assert found is not None
    assert (found.value, found.key, found.extension) == ("x", "u@d.test", "+e")
    assert await Resolver(ours).search.find(open_maps("inline:{u@d.test=x}", ours), "u+e@d.test", Keys.FULL) is None


def test_prefixes() -> None:
    assert list(network_prefixes("2001:db8::1")) == ["2001:db8::1", "2001:db8:", "2001:db8", "2001"]
    assert list(network_prefixes("")) == []
