"""proxymap over its real socket, asked by our own tables."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mta.config import MainConfig
from mta.proxymap.access import Approved, proxied
from mta.proxymap.protocol import DEFAULT_FLAGS, GREETING, Flags, Reader, encode
from mta.proxymap.service import prepare
from mta.tables import Table, TableError, maps_of, open_table
from mta.tables.lmdbfile import write


@dataclass
class Bound:
    socket: socket.socket
    tag: str
    options: dict[str, str] = field(default_factory=dict)


@dataclass
class Place:
    """A configuration with its queue directory."""

    base: Path

    def config(self, text: str = "") -> MainConfig:
        """main.cf with these lines."""
        confdir = self.base / "conf"
        confdir.mkdir(exist_ok=True)
        main = f"compatibility_level = 3.6\nqueue_directory = {self.base}/queue\n{text}\n"
        (confdir / "main.cf").write_text(main)
        return MainConfig.load(confdir)

    def table(self, name: str, text: str) -> Path:
        path = self.base / name
        path.write_text(text)
        return path

    @asynccontextmanager
    async def serving(self, config: MainConfig, *tags: str) -> AsyncIterator[None]:
        """The service on private/TAG, ended as the supervisor ends it."""
        private = self.base / "queue" / "private"
        private.mkdir(parents=True, exist_ok=True)
        bound = []
        for tag in tags or ("proxymap",):
            sock = socket.socket(socket.AF_UNIX)
            (private / tag).unlink(missing_ok=True)
            sock.bind(str(private / tag))
            sock.listen()
            sock.setblocking(False)
            bound.append(Bound(sock, tag))
        serve, drain, ready = prepare(config, bound), asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(serve(drain, ready.set))  # type: ignore[arg-type]
        try:
            await asyncio.wait_for(ready.wait(), 10)
            yield
        finally:
            drain.set()
            await asyncio.wait_for(task, 10)
            for entry in bound:
                entry.socket.close()


@pytest.fixture
def stand(place: Path) -> Place:
    return Place(place)


@pytest.fixture
async def opened() -> AsyncIterator[Callable[..., Table]]:
    async with AsyncExitStack() as stack:

        def make(spec: str, config: MainConfig) -> Table:
            table = open_table(spec, config)
            stack.push_async_callback(table.aclose)
            return table

        yield make


async def ask(path: Path, *requests: dict[str, str]) -> list[dict[str, str]]:
    """Replies to raw requests, the greeting first."""
    reader, writer = await asyncio.open_unix_connection(path)
    incoming, replies = Reader(), list[dict[str, str]]()
    try:
        for request in (None, *requests):
            if request is not None:
                writer.write(encode(request))
            while not (found := incoming.feed(await asyncio.wait_for(reader.read(65536), 10))):
                assert not reader.at_eof()
            replies += found
    finally:
        writer.close()
        await writer.wait_closed()
    return replies


async def test_a_process_reads_a_table_that_it_cannot_open(stand: Place, opened: Callable[..., Table]) -> None:
    path = stand.table("aliases", "a@x.test one\n")
    config = stand.config(f"virtual_alias_maps = proxy:texthash:{path}")
    async with stand.serving(config):
        path.unlink()  # what proxymap has open, nobody else can open any more
        table = opened(f"proxy:texthash:{path}", config)
        assert table.exact
        assert await table.lookup("A@x.test") == "one"
        assert await table.lookup("b@x.test") is None
        assert await table.lookup("x\0y") is None
        found = await asyncio.gather(*(table.lookup("a@x.test") for _ in range(20)))
        assert found == ["one"] * 20


async def test_tables_are_opened_once(
    stand: Place, monkeypatch: pytest.MonkeyPatch, opened: Callable[..., Table]
) -> None:
    path = stand.table("t", "a one\n")
    config = stand.config(f"transport_maps = proxy:texthash:{path}\nrelay_recipient_maps = proxy:texthash:{path}")
    counted = list[str]()
    from mta.proxymap import server

    real = server.open_table

    def counting(spec: str, *arguments: object, **named: object) -> Table:
        counted.append(spec)
        return real(spec, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(server, "open_table", counting)
    async with stand.serving(config):
        for _ in range(3):
            assert await opened(f"proxy:texthash:{path}", config).lookup("a") == "one"
    assert counted.count(f"texthash:{path}") == 1


async def test_others_are_refused(stand: Place, opened: Callable[..., Table], caplog: pytest.LogCaptureFixture) -> None:
    path = stand.table("t", "a one\n")
    config = stand.config(f"transport_maps = proxy:texthash:{path}, texthash:{path}.direct")
    async with stand.serving(config):
        for spec in ("texthash:/etc/passwd", f"hash:{path}", f"texthash:{path}.direct", "static:yes", "pipemap:{x:y}"):
            with pytest.raises(TableError, match="does not serve"):
                await opened(f"proxy:{spec}", config).lookup("root")
    assert 'request for unapproved table: "texthash:/etc/passwd"' in caplog.text
    assert "list proxy:texthash:/etc/passwd in main.cf:proxy_read_maps" in caplog.text


async def test_sensitive_tables_are_never_served(
    stand: Place, opened: Callable[..., Table], caplog: pytest.LogCaptureFixture
) -> None:
    path = stand.table("uids", "a@x.test 1000\n")
    config = stand.config(f"virtual_uid_maps = proxy:texthash:{path}")
    async with stand.serving(config):
        with pytest.raises(TableError, match="does not serve"):
            await opened(f"proxy:texthash:{path}", config).lookup("a@x.test")
        # The parameter itself works: its programs open the table themselves.
        assert await maps_of(config, "virtual_uid_maps").lookup("a@x.test") == "1000"
    assert "security-sensitive" in caplog.text


async def test_without_the_service_the_table_is_opened_here(stand: Place, opened: Callable[..., Table]) -> None:
    path = stand.table("t", "a one\n")
    config = stand.config()
    assert await opened(f"proxy:proxy:texthash:{path}", config).lookup("a") == "one"


async def test_an_outage_is_temporary_and_ends(
    stand: Place, opened: Callable[..., Table], caplog: pytest.LogCaptureFixture
) -> None:
    path = stand.table("t", "a one\n")
    config = stand.config(f"transport_maps = proxy:texthash:{path}")
    async with stand.serving(config):
        table = opened(f"proxy:texthash:{path}", config)
        assert await table.lookup("a") == "one"
    async with stand.serving(config):  # after a reload: the old connection is gone, a new one is made
        assert await table.lookup("a") == "one"
    with pytest.raises(TableError, match="no server can be reached"):
        await table.lookup("a")


async def test_aliases_and_patterns(stand: Place, opened: Callable[..., Table]) -> None:
    aliases = stand.table("aliases", "root: alice, bob\n")
    rules = stand.table("rules", "/^a/ found\n")
    config = stand.config(
        f"alias_maps = hash:{aliases}\nlocal_recipient_maps = proxy:hash:{aliases}\ncanonical_maps = proxy:regexp:{rules}"
    )
    async with stand.serving(config):
        assert await opened(f"proxy:hash:{aliases}", config).lookup("root") == "alice, bob"
        table = opened(f"proxy:regexp:{rules}", config)
        assert not table.exact
        assert await table.lookup("abc") == "found"


async def test_requests_as_postfix_sends_them(stand: Place, caplog: pytest.LogCaptureFixture) -> None:
    path = stand.table("t", "a one\nb two\n")
    rules = stand.table("rules", "/^a/ found\n")
    missing = stand.base / "missing"
    config = stand.config(
        f"transport_maps = proxy:texthash:{path} proxy:texthash:{missing} proxy:regexp:{rules} proxy:nosuch:x"
    )

    def request(kind: str, table: str = f"texthash:{path}", **more: str) -> dict[str, str]:
        return {"request": kind, "table": table, "flags": "16448", **more}

    async with stand.serving(config):
        socket_path = stand.base / "queue" / "private" / "proxymap"
        replies = await ask(
            socket_path,
            request("open"),
            request("open", f"regexp:{rules}"),
            request("lookup", key="a"),
            request("lookup", key="zz"),
            request("lookup", key=""),
            request("lookup", f"proxy:texthash:{path}", key="b"),
            request("lookup", f"texthash:{missing}", key="a"),
            request("lookup", "nosuch:x", key="a"),
            request("lookup", "texthash:/etc/passwd", key="a"),
            request("sequence", function="0"),
            request("sequence", function="1"),
            request("sequence", function="1"),
            request("sequence", f"regexp:{rules}", function="0"),
            request("update", key="a", value="x"),
            request("lookup"),
            {"request": "bogus"},
        )
    fixed, pattern = int(DEFAULT_FLAGS | Flags.FIXED), int(DEFAULT_FLAGS | Flags.PATTERN)
    assert (fixed, pattern) == (16464, 16480)
    assert replies == [
        GREETING,
        {"status": "0", "flags": str(fixed)},
        {"status": "0", "flags": str(pattern)},
        {"status": "0", "value": "one"},
        {"status": "1", "value": ""},
        {"status": "1", "value": ""},
        {"status": "0", "value": "two"},
        {"status": "2", "value": ""},
        {"status": "5", "value": ""},
        {"status": "4", "value": ""},
        {"status": "0", "key": "a", "value": "one"},
        {"status": "0", "key": "b", "value": "two"},
        {"status": "1", "key": "", "value": ""},
        {"status": "2", "key": "", "value": ""},
        {"status": "4"},
        {"status": "3", "value": ""},
        {"status": "3"},
    ]
    assert "update request on non-proxywrite service" in caplog.text


async def test_writing(stand: Place, opened: Callable[..., Table]) -> None:
    stand.table("cache", "")
    spec = f"lmdb:{stand.base}/cache"
    from mta.tables.postmap import main

    config = stand.config(f"address_verify_map = proxy:{spec}\ntransport_maps = proxy:{spec}")
    built = await asyncio.to_thread(main, ["-c", str(stand.base / "conf"), spec])
    assert built == 0
    flags = {"table": spec, "flags": "16448"}
    async with stand.serving(config, "proxymap", "proxywrite"):
        private = stand.base / "queue" / "private"
        replies = await ask(
            private / "proxywrite",
            {"request": "update", **flags, "key": "Key", "value": "value"},
            {"request": "lookup", **flags, "key": "key"},
            {"request": "delete", **flags, "key": "key"},
            {"request": "delete", **flags, "key": "key"},
        )
        assert [reply.get("status") for reply in replies[1:]] == ["0", "0", "0", "1"]
        assert await opened(f"proxy:{spec}", config).lookup("key") is None


async def test_broken_clients(stand: Place, caplog: pytest.LogCaptureFixture) -> None:
    config = stand.config("transport_maps = proxy:static:x")
    caplog.set_level(logging.WARNING)
    async with stand.serving(config):
        path = stand.base / "queue" / "private" / "proxymap"
        for data in (b"a\0b\0a\0c\0\0", b"n\0v\0" * 1000, os.urandom(300) + b"\0" * 40):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(data)
            writer.write_eof()
            assert await asyncio.wait_for(reader.read(), 10)
            writer.close()
            await writer.wait_closed()
        replies = await ask(path, {"request": "lookup", "table": "static:x", "flags": "0", "key": "k"})
        assert replies[1] == {"status": "0", "value": "x"}


async def test_a_value_that_cannot_be_carried(stand: Place) -> None:
    write(stand.base / "cache.lmdb", [("key", "a\0b"), ("long", "x" * 600_000), ("good", "x")])
    config = stand.config(f"transport_maps = proxy:lmdb:{stand.base}/cache")
    flags = {"request": "lookup", "table": f"lmdb:{stand.base}/cache", "flags": "0"}
    async with stand.serving(config):
        path = stand.base / "queue" / "private" / "proxymap"
        replies = await ask(path, *({**flags, "key": key} for key in ("key", "long", "good")))
    temporary = {"status": "2", "value": ""}
    assert replies[1:] == [temporary, temporary, {"status": "0", "value": "x"}]


def test_names_in_lists(stand: Place) -> None:
    text = "proxy:a:b, c:d { proxy:e:f, search_order = x } proxy:proxy:g:h proxy:i"
    assert list(proxied(text)) == ["a:b", "e:f", "g:h"]
    config = stand.config("virtual_alias_maps = proxy:static:v\nvirtual_gid_maps = proxy:static:g")
    assert list(Approved(config, write=False)) == ["static:v", "unix:passwd.byname"]
    assert list(Approved(config, write=True)) == []
