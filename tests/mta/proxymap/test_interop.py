"""Real Postfix's programs ask our proxymap, and our tables ask the real one."""

import asyncio
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mta.config import MainConfig
from mta.proxymap.service import prepare
from mta.tables import TableError, open_table
from tests import peers
from tests.interop import realpostfix

pytestmark = [
    pytest.mark.interop,
    pytest.mark.needs("postfix", "postfix"),
    pytest.mark.needs_root,
]


@dataclass
class Bound:
    socket: socket.socket
    tag: str
    options: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def real(place: Path) -> Iterator[Path]:
    """A private Postfix whose proxymap serves two tables; its configuration directory."""
    (place / "t").write_text("a@x.test one\nü@x.test two\n")
    (place / "rules").write_text("/^x(.*)/ found $1\n")
    main = f"proxy_read_maps = proxy:texthash:{place}/t proxy:regexp:{place}/rules proxy:texthash:{place}/missing\n"
    writer = "proxywrite unix - - n - 1 proxymap\n"
    with realpostfix.running("postfix", place / "postfix", writer, main):
        yield place / "postfix" / "conf"


async def test_our_tables_ask_the_real_proxymap(real: Path, place: Path) -> None:
    config = MainConfig.load(real)

    async def ask(spec: str, key: str) -> str | None:
        table = open_table(spec, config)
        try:
            return await table.lookup(key)
        finally:
            await table.aclose()

    assert await ask(f"proxy:texthash:{place}/t", "A@x.test") == "one"
    assert await ask(f"proxy:texthash:{place}/t", "ü@x.test") == "two"
    assert await ask(f"proxy:texthash:{place}/t", "none") is None
    assert await ask(f"proxy:regexp:{place}/rules", "xyz") == "found yz"
    with pytest.raises(TableError, match="now"):
        await ask(f"proxy:texthash:{place}/missing", "a")
    with pytest.raises(TableError, match="does not serve"):
        await ask("proxy:texthash:/etc/passwd", "root")


async def test_the_real_postmap_asks_our_proxymap(place: Path) -> None:
    (place / "t").write_text("a@x.test one\n")
    (place / "conf").mkdir()
    private = place / "queue" / "private"
    private.mkdir(parents=True)
    approved = f"proxy:texthash:{place}/t proxy:static:yes proxy:texthash:{place}/missing"
    (place / "conf" / "main.cf").write_text(
        f"compatibility_level = 3.6\nqueue_directory = {place}/queue\nproxy_read_maps = {approved}\nipc_timeout = 5s\n"
    )
    peers.age(place / "conf" / "main.cf")
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(private / "proxymap"))
    sock.listen()
    sock.setblocking(False)
    serve = prepare(MainConfig.load(place / "conf"), [Bound(sock, "proxymap")])
    drain, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.ensure_future(serve(drain, ready.set))

    async def postmap(*arguments: str) -> tuple[int, str]:
        command = ["postmap", "-c", str(place / "conf"), *arguments]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60, check=False)
        return done.returncode, (done.stdout + done.stderr).decode()

    try:
        await ready.wait()
        assert await postmap("-q", "A@x.test", f"proxy:texthash:{place}/t") == (0, "one\n")
        assert await postmap("-q", "b@x.test", f"proxy:texthash:{place}/t") == (1, "")
        assert await postmap("-q", "b@x.test", "proxy:static:yes") == (0, "yes\n")
        status, output = await postmap("-q", "root", "proxy:texthash:/etc/passwd")
        assert status == 1
        assert 'not configured for table "texthash:/etc/passwd"' in output
        status, output = await postmap("-q", "a", f"proxy:texthash:{place}/missing")
        assert status == 1
        assert "error" in output
    finally:
        drain.set()
        await task
        sock.close()
