"""The DNS resolver against a name server of our own on the loopback."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.config import MainConfig
from mta.dns import Limits, NotFound, Resolver, TempFail
from mta.hosts import Hosts, parse_hosts

ZONE = {
    ("mail.example", "A"): ["192.0.2.1"],
    ("mail.example", "AAAA"): ["2001:db8::1"],
    ("v4.example", "A"): ["192.0.2.4"],
    ("example", "MX"): ["20 backup.example.", "10 mail.example."],
    ("null.example", "MX"): ["0 ."],
    ("text.example", "TXT"): ['"one " "two"'],
    ("alias.example", "CNAME"): ["mail.example."],
    ("1.2.0.192.in-addr.arpa", "PTR"): ["mail.example."],
    ("9.2.0.192.in-addr.arpa", "PTR"): ["mail.example."],
    ("8.2.0.192.in-addr.arpa", "PTR"): ["gone.example."],
    ("7.2.0.192.in-addr.arpa", "PTR"): ["broken.example."],
    ("6.2.0.192.in-addr.arpa", "PTR"): ["bad_-name-.example."],
}
ORPHANS = ("nodata.example",)


@dataclass
class NameServer(asyncio.DatagramProtocol):
    """Answers from ZONE; *.broken.example and broken.example fail; silent.example is never answered."""

    seen: list[tuple[str, str]] = field(default_factory=list)
    ttl: int = 300
    transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        name = query.question[0].name.to_text(omit_final_dot=True)
        kind = query.question[0].rdtype.name
        self.seen.append((name, kind))
        if name == "silent.example":
            return
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        if name.endswith("broken.example"):
            reply.set_rcode(dns.rcode.SERVFAIL)
        else:
            self._fill(reply, name, kind)
        assert self.transport is not None
        self.transport.sendto(reply.to_wire(), addr)

    def _fill(self, reply: dns.message.Message, name: str, kind: str) -> None:
        if target := ZONE.get((name, "CNAME")):
            reply.answer.append(dns.rrset.from_text(f"{name}.", self.ttl, "IN", "CNAME", *target))
            name = target[0].rstrip(".")
        if records := ZONE.get((name, kind)):
            reply.answer.append(dns.rrset.from_text(f"{name}.", self.ttl, "IN", kind, *records))
        elif not any(name == known for known, _kind in ZONE) and name not in ORPHANS:
            reply.set_rcode(dns.rcode.NXDOMAIN)

    def asked(self, name: str, kind: str) -> int:
        return self.seen.count((name, kind))


@asynccontextmanager
async def name_server() -> AsyncIterator[tuple[NameServer, str]]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    try:
        yield protocol, f"127.0.0.1:{port}"
    finally:
        transport.close()


@pytest.fixture
async def server() -> AsyncIterator[tuple[NameServer, Resolver]]:
    async with name_server() as (protocol, endpoint):
        yield protocol, Resolver([endpoint], Limits(timeout=2, lifetime=4))


Server = tuple[NameServer, Resolver]


async def test_records(server: Server) -> None:
    _protocol, resolver = server
    assert [r.text for r in await resolver.lookup("mail.example", "A")] == ["192.0.2.1"]
    assert {(r.preference, r.text) for r in await resolver.lookup("example", "MX")} == {
        (10, "mail.example"),
        (20, "backup.example"),
    }
    assert [r.text for r in await resolver.lookup("text.example", "TXT")] == ["one two"]
    answer = await resolver.query("alias.example", "A")
    assert (answer.name, answer.records[0].text) == ("mail.example", "192.0.2.1")


async def test_not_found_and_try_again_are_different(server: Server) -> None:
    _protocol, resolver = server
    with pytest.raises(NotFound) as missing:
        await resolver.lookup("gone.example", "A")
    assert not missing.value.exists
    with pytest.raises(NotFound) as empty:
        await resolver.lookup("nodata.example", "A")
    assert empty.value.exists
    with pytest.raises(TempFail):
        await resolver.lookup("broken.example", "A")


async def test_silence_is_a_temporary_failure() -> None:
    async with name_server() as (_protocol, endpoint):
        with pytest.raises(TempFail):
            await Resolver([endpoint], Limits(timeout=0.05, lifetime=0.1)).lookup("silent.example", "A")


@pytest.mark.parametrize("name", ["", "a..b", "x" * 70, ".".join(["x" * 60] * 6), "\udcff.example", "a b.example"])
async def test_malformed_names_do_not_exist(name: str, server: Server) -> None:
    with pytest.raises(NotFound):
        await server[1].lookup(name, "A")


async def test_answers_are_cached_also_negative_ones(server: Server) -> None:
    protocol, resolver = server
    for _ in range(3):
        await resolver.lookup("Mail.Example.", "A")
        with pytest.raises(NotFound):
            await resolver.lookup("gone.example", "A")
    assert protocol.asked("mail.example", "A") == 1
    assert protocol.asked("gone.example", "A") == 1


async def test_an_expired_answer_is_asked_again(server: Server) -> None:
    protocol, resolver = server
    protocol.ttl = 0
    await resolver.lookup("mail.example", "A")
    await resolver.lookup("mail.example", "A")
    assert protocol.asked("mail.example", "A") == 2


async def test_many_callers_share_one_question(server: Server) -> None:
    protocol, resolver = server
    await asyncio.gather(*(resolver.lookup("mail.example", "A") for _ in range(50)))
    assert protocol.asked("mail.example", "A") == 1


async def test_a_cancelled_caller_does_not_take_the_others_with_it(server: Server) -> None:
    _protocol, resolver = server
    first = asyncio.create_task(resolver.lookup("mail.example", "A"))
    second = asyncio.create_task(resolver.lookup("mail.example", "A"))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second)[0].text == "192.0.2.1"


async def test_the_cache_is_bounded() -> None:
    async with name_server() as (_protocol, endpoint):
        resolver = Resolver([endpoint], Limits(cache_size=3))
        for i in range(6):
            with pytest.raises(NotFound):
                await resolver.lookup(f"n{i}.gone.example", "A")
        assert len(resolver._cache) == 3


async def test_addresses_of_both_families(server: Server) -> None:
    _protocol, resolver = server
    assert await resolver.addresses("mail.example") == ["192.0.2.1", "2001:db8::1"]
    assert await resolver.addresses("mail.example", ipv4=False) == ["2001:db8::1"]
    assert await resolver.addresses("v4.example") == ["192.0.2.4"]
    with pytest.raises(NotFound):
        await resolver.addresses("gone.example")
    with pytest.raises(TempFail):
        await resolver.addresses("broken.example")


async def test_mail_exchangers(server: Server) -> None:
    _protocol, resolver = server
    assert await resolver.mail_exchangers("example") == [(10, "mail.example"), (20, "backup.example")]
    assert await resolver.mail_exchangers("mail.example") == [(0, "mail.example")]
    assert await resolver.mail_exchangers("null.example") == []
    with pytest.raises(NotFound):
        await resolver.mail_exchangers("gone.example")
    with pytest.raises(TempFail):
        await resolver.mail_exchangers("broken.example")


@pytest.mark.parametrize(
    ("address", "name", "reverse", "code", "reverse_code"),
    [
        ("192.0.2.1", "mail.example", "mail.example", "2", "2"),
        ("192.0.2.9", "unknown", "mail.example", "6", "2"),
        ("192.0.2.8", "unknown", "gone.example", "5", "2"),
        ("192.0.2.7", "unknown", "broken.example", "4", "2"),
        ("192.0.2.6", "unknown", "unknown", "5", "5"),
        ("192.0.2.5", "unknown", "unknown", "5", "5"),
    ],
)
async def test_client_names(
    address: str, name: str, reverse: str, code: str, reverse_code: str, server: Server
) -> None:
    found = await server[1].client_name(address)
    assert (found.name, found.reverse_name, found.code, found.reverse_code) == (name, reverse, code, reverse_code)


async def test_the_hosts_file_comes_first_where_asked(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("192.0.2.77 own.example own\n")
    resolver = server[1]
    resolver.hosts = Hosts(path)
    assert await resolver.addresses("OWN", native=True) == ["192.0.2.77"]
    assert await resolver.reverse("192.0.2.77", native=True) == "own.example"
    assert (await resolver.client_name("192.0.2.77")).name == "own.example"
    with pytest.raises(NotFound):
        await resolver.addresses("own.example")
    path.write_text("192.0.2.78 own.example other\n")
    assert await resolver.addresses("own.example", native=True) == ["192.0.2.78"]


def test_the_configuration_names_the_servers(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text("hardmail_nameservers = 127.0.0.1:5300, [::1]:54\nhardmail_dns_timeout = 3\n")
    resolver = Resolver.of(MainConfig.load(tmp_path))
    assert resolver.limits.timeout == 3.0
    servers = resolver._servers._resolver.nameservers
    assert [str(server) for server in servers] == ["Do53:127.0.0.1@5300", "Do53:::1@54"]


@pytest.mark.parametrize("word", ["127.0.0.1:x", "127.0.0.1:0", "127.0.0.1:99999999", "name", "[::1"])
def test_bad_server_words(word: str) -> None:
    with pytest.raises(ValueError, match=r"port|address|bracket"):
        Resolver([word])


def test_hosts_syntax() -> None:
    by_name, by_address = parse_hosts("127.0.0.1 localhost lo # x\n::1 localhost\nbad line\n# c\n127.0.0.1 again\n")
    assert by_name["localhost"] == ["127.0.0.1", "::1"]
    assert by_address == {"127.0.0.1": "localhost", "::1": "localhost"}
    assert by_name["again"] == ["127.0.0.1"]


@given(st.text(max_size=60))
def test_any_hosts_file_is_read(text: str) -> None:
    parse_hosts(text)
