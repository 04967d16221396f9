"""The same verdicts as libwrap's own tcpdmatch(8), on tables made at random."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from auth.tcpwrap import UNKNOWN, Host, Request, decide, parse

SEED, TABLES = 19, 200
DAEMONS = (
    *("smtpd", "ALL", "imap", "sm*", "smtpd@127.0.0.1", "*@ALL", "EXCEPT", "smtpd@[::1]", "KNOWN", "smtpd."),
)  # fmt: skip
CLIENTS = (
    *("127.0.0.1", "127.", "127.0.0.0/8", "127.0.0.1/255.0.0.0", "127.0.0.0/255.255.255.0", "10.0.0.1", "ALL"),
    *("LOCAL", "KNOWN", "UNKNOWN", "PARANOID", "EXCEPT", "EXCEPT", "127.*", "1?7.0.0.*", ".0.1", "bob@ALL"),
    *("UNKNOWN@127.", "KNOWN@ALL", "*b@127.0.0.1", "[::1]", "[::1]/128", "[2001:db8::]/32", "[2001:db8::7]", "::1"),
    *("0.0.0.0/0", "127.0.0.1/33", "127.0.0.1/32", "127.1/8", "[::]/0", "*:*", "@net", "/etc/nosuch", "10.0.0.0/8"),
)  # fmt: skip
OPTIONS = (
    *("allow", "deny", "ALLOW", "severity mail.info", "severity = notice", "severity foo", "severity", "banners /x"),
    *("spawn echo a\\:b", "twist echo x", "linger 5", "keepalive", "keepalive 3", "nice", "umask 022", "bogus", ""),
    *("rfc931", "setenv A B", "allow x", "severity mail.bogus"),
)  # fmt: skip
REQUESTS = (
    *(("127.0.0.1", UNKNOWN), ("10.0.0.1", UNKNOWN), ("::1", UNKNOWN), ("2001:db8::7", "bob"), ("127.0.0.1", "bob")),
    ("127.0.0.9", UNKNOWN),
)

pytestmark = pytest.mark.interop


def table(chance: random.Random) -> str:
    return "".join(line(chance) + "\n" for _ in range(chance.randint(0, 4)))


def line(chance: random.Random) -> str:
    """A line; one in five is damaged in some way."""
    space = chance.choice([" ", ", ", ",", "\t"])
    daemons = space.join(chance.choice(DAEMONS) for _ in range(chance.randint(1, 3)))
    clients = space.join(chance.choice(CLIENTS) for _ in range(chance.randint(1, 5)))
    options = (chance.choice(OPTIONS) for _ in range(chance.choice([0, 0, 0, 1, 1, 2])))
    text = chance.choice([":", " : "]).join([daemons, clients, *options])
    place = chance.randrange(len(text))
    match chance.randrange(25):
        case 0:
            return "# " + text
        case 1:
            return text + " # a: b"
        case 2:
            return text[:place] + "\\\n" + text[place:]
        case 3:
            return text[:place] + chance.choice(["#", "\\#", ":", "\\", " "]) + text[place:]
        case 4:
            return text + "\\"
        case _:
            return text


def test_random_tables(peer: Callable[[str, str], str], tmp_path: Path) -> None:
    tcpdmatch, chance = peer("tcpdmatch", "tcpd"), random.Random(SEED)
    (tmp_path / "inetd.conf").write_text("smtp stream tcp nowait root /usr/sbin/tcpd smtpd\n")
    for _ in range(TABLES):
        allow, deny = table(chance), table(chance)
        (tmp_path / "hosts.allow").write_text(allow)
        (tmp_path / "hosts.deny").write_text(deny)
        address, user = chance.choice(REQUESTS)
        client = address if user == UNKNOWN else f"{user}@{address}"
        argv = [tcpdmatch, "-d", "-i", "inetd.conf", "smtpd", client]
        said = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=10).stdout
        verdict = said.split("access:")[1].split()[0]
        ours = decide(parse(allow), parse(deny), Request("smtpd", Host(address), user=user))
        # `delegated` is twist: the command would serve the client, and hardmail runs none.
        assert ours.granted is (verdict == "granted"), f"{said}\nhosts.allow:\n{allow}\nhosts.deny:\n{deny}"
