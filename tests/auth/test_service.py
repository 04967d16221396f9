"""The auth service over its sockets: log-ins by every mechanism, rules of databases, lookups, delays."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

from auth import schemes
from auth.databases import BadArguments

if TYPE_CHECKING:
    from .conftest import Peer, Running

Start = Callable[..., Awaitable["Running"]]

BOB = (
    "{SHA512-CRYPT}$6$oj3hTHVYFyUuqBqB$"
    "jc1PkAP/BEvks1W3PPKWg7CcYg3mfoHhH.ZvDVWajZ.9LI6RLHAyd5qLMM7IzuhypjMYHP04SuaMDxbXNp0IT0"
)
USERS = """alice:{PLAIN}secret:1001:1001::/home/alice::userdb_mail=maildir:~/M foo=bar
bob:%s
netuser:{PLAIN}secret::::::allow_nets=10.0.0.0/8
nolog:{PLAIN}secret::::::nologin reason=closed
renamed:{PLAIN}secret::::::user=alice
""".replace("%s", BOB)
PASSWD = (
    "passdb {{\n driver = passwd-file\n args = {users}\n}}\nuserdb {{\n driver = passwd-file\n args = {users}\n}}\n"
)


@pytest.fixture
def conf(tmp_path: object) -> str:
    """Users in a passwd-file, all mechanisms."""
    return (
        "auth_mechanisms = plain login cram-md5 digest-md5 scram-sha-1 scram-sha-256 anonymous external xoauth2\n"
        + PASSWD.format(users=f"{tmp_path}/users")
    )


def b64(data: bytes | str) -> str:
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


async def plain(peer: Peer, user: str, password: str, *parameters: str, id: int = 1, authzid: str = "") -> list[str]:
    """One PLAIN exchange; the reply's words."""
    response = b64(f"{authzid}\0{user}\0{password}")
    peer.say("\t".join(["AUTH", str(id), "PLAIN", "service=imap", *parameters, f"resp={response}"]))
    return await peer.line()


async def test_greeting(start: Start, conf: str) -> None:
    peer = await (await start(conf, users=USERS)).connect(greet=False)
    greeting = await peer.greeting()
    assert greeting["VERSION"] == [["1", "2"]]
    assert [words[0] for words in greeting["MECH"]][:3] == ["PLAIN", "LOGIN", "CRAM-MD5"]
    assert len(greeting["COOKIE"][0][0]) == 32


@pytest.mark.parametrize(
    ("user", "password", "parameters", "reply"),
    [
        ("alice", "secret", [], ["OK", "1", "user=alice", "foo=bar"]),
        ("ALICE", "secret", [], ["OK", "1", "user=alice", "foo=bar", "original_user=ALICE"]),
        ("alice", "wrong", [], ["FAIL", "1", "user=alice"]),
        ("nobody", "x", [], ["FAIL", "1", "user=nobody"]),
        ("bob", "pa55-Word", [], ["OK", "1", "user=bob"]),
        ("bob", "pa55-word", [], ["FAIL", "1", "user=bob"]),
        ("ali ce", "x", [], ["FAIL", "1", "user=ali ce", "original_user=ali ce"]),
        ("netuser", "secret", ["rip=10.1.2.3"], ["OK", "1", "user=netuser"]),
        ("netuser", "secret", ["rip=11.1.2.3"], ["FAIL", "1", "user=netuser"]),
        ("netuser", "secret", [], ["FAIL", "1", "user=netuser"]),
        ("nolog", "secret", [], ["OK", "1", "user=nolog", "nologin", "reason=closed"]),
        ("renamed", "secret", [], ["OK", "1", "user=alice", "original_user=renamed"]),
        ("alice", "sec\tret", [], ["FAIL", "1", "user=alice"]),
    ],
)
async def test_plain(
    start: Start, conf: str, user: str, password: str, parameters: list[str], reply: list[str]
) -> None:
    peer = await (await start(conf, users=USERS)).connect()
    assert await plain(peer, user, password, *parameters) == reply


async def test_login(start: Start, conf: str) -> None:
    peer = await (await start(conf, users=USERS)).connect()
    peer.say("AUTH\t1\tLOGIN\tservice=imap")
    assert await peer.line() == ["CONT", "1", b64("Username:")]
    peer.say(f"CONT\t1\t{b64('alice')}")
    assert await peer.line() == ["CONT", "1", b64("Password:")]
    peer.say(f"CONT\t1\t{b64('secret')}")
    assert (await peer.line())[:3] == ["OK", "1", "user=alice"]


async def test_cram_md5(start: Start, conf: str) -> None:
    peer = await (await start(conf, users=USERS)).connect()
    peer.say("AUTH\t1\tCRAM-MD5\tservice=imap")
    challenge = base64.b64decode((await peer.line())[2])
    digest = hmac.new(b"secret", challenge, "md5").hexdigest()
    peer.say(f"CONT\t1\t{b64('alice ' + digest)}")
    assert (await peer.line())[:3] == ["OK", "1", "user=alice"]


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
async def test_scram(start: Start, conf: str, algorithm: str) -> None:
    peer = await (await start(conf, users=USERS)).connect()
    name = {"sha1": "SCRAM-SHA-1", "sha256": "SCRAM-SHA-256"}[algorithm]
    peer.say(f"AUTH\t1\t{name}\tservice=imap\tresp={b64('n,,n=alice,r=abc')}")
    first = base64.b64decode((await peer.line())[2]).decode()
    fields = dict(part.split("=", 1) for part in first.split(","))
    salted = hashlib.pbkdf2_hmac(algorithm, b"secret", base64.b64decode(fields["s"]), int(fields["i"]))
    final = f"c=biws,r={fields['r']}"
    signed = f"n=alice,r=abc,{first},{final}".encode()
    key = hmac.digest(salted, b"Client Key", algorithm)
    signature = hmac.digest(hashlib.new(algorithm, key).digest(), signed, algorithm)
    proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
    peer.say(f"CONT\t1\t{b64(final + ',p=' + b64(proof))}")
    server = base64.b64decode((await peer.line())[2])
    assert server == b"v=" + base64.b64encode(
        hmac.digest(hmac.digest(salted, b"Server Key", algorithm), signed, algorithm)
    )
    peer.say("CONT\t1\t")
    assert (await peer.line())[:3] == ["OK", "1", "user=alice"]


async def test_anonymous_is_marked(start: Start, conf: str) -> None:
    peer = await (await start(conf, users=USERS)).connect()
    peer.say(f"AUTH\t1\tANONYMOUS\tservice=imap\tresp={b64('me@example.org')}")
    assert await peer.line() == ["OK", "1", "user=anonymous", "anonymous"]


@pytest.mark.parametrize(
    ("everywhere", "block", "logged"),
    [("no", "default", False), ("no", "yes", True), ("yes", "no", False), ("yes", "default", True)],
)
async def test_auth_verbose_of_a_block(
    start: Start, tmp_path: object, caplog: pytest.LogCaptureFixture, everywhere: str, block: str, logged: bool
) -> None:
    passdbs = [
        f"passdb {{\n driver = passwd-file\n args = {tmp_path}/users\n auth_verbose = {block}\n}}\n",
        f"passdb {{\n driver = passwd-file\n args = {tmp_path}/users\n auth_verbose = yes\n}}\n",
    ]
    running = await start(f"auth_verbose = {everywhere}\n" + "".join(passdbs), users=USERS)
    assert (await plain(await running.connect(), "nobody", "x"))[0] == "FAIL"
    said = [record.message for record in caplog.records if "nobody" in record.message]
    assert said == ["passwd-file(nobody): unknown user"] * (1 + logged)


async def test_external_needs_a_certificate(start: Start, conf: str) -> None:
    users = USERS + "carol:::::::nopassword\n"
    running = await start(conf + "auth_ssl_username_from_cert = yes\n", users=users)
    peer = await running.connect()
    certificate = "\tvalid-client-cert\tcert_username="
    for number, (said, reply) in enumerate(
        [
            ("", ["FAIL"]),
            (f"{certificate}carol", ["OK", "user=carol"]),
            ("\tcert_username=carol", ["FAIL", "user=carol"]),
        ],
        1,
    ):
        peer.say(f"AUTH\t{number}\tEXTERNAL\tservice=imap{said}\tresp==")
        kind, _, *words = await peer.line()
        assert [kind, *words[:1]] == reply


async def test_mechanisms_of_a_passdb_may_have_commas(start: Start, tmp_path: object) -> None:
    block = f"passdb {{\n driver = passwd-file\n args = {tmp_path}/users\n mechanisms = cram-md5, plain,login\n}}\n"
    peer = await (await start(block, users=USERS)).connect()
    assert (await plain(peer, "alice", "secret"))[0] == "OK"


async def test_external_is_a_log_in_with_an_empty_password(start: Start, conf: str) -> None:
    running = await start(conf + "auth_ssl_username_from_cert = yes\n", users=USERS)
    peer = await running.connect()
    peer.say("AUTH\t1\tEXTERNAL\tservice=imap\tvalid-client-cert\tcert_username=alice\tresp==")
    assert await peer.line() == ["FAIL", "1", "user=alice", "original_user="]


async def test_nobody_is_another_without_a_master_password(start: Start, conf: str) -> None:
    """proxy-authorization: an ordinary user may not act as another."""
    running = await start(conf, users=USERS)
    peer = await running.connect()
    assert await plain(peer, "alice", "secret", authzid="bob") == ["FAIL", "1", "user=alice"]


async def test_master_user(start: Start, conf: str, tmp_path: object) -> None:
    masters = (
        f"passdb {{\n driver = passwd-file\n args = {tmp_path}/masters\n master = yes\n result_success = continue\n}}\n"
    )
    running = await start(masters + conf, users=USERS, masters="root:{PLAIN}masterpw\n")
    peer = await running.connect()
    ok = await plain(peer, "root", "masterpw", authzid="alice")
    assert ok == ["OK", "1", "user=alice", "foo=bar", "original_user=root", "auth_user=root"]
    missing = await plain(peer, "root", "masterpw", authzid="nobody", id=2)
    assert missing[:4] == ["FAIL", "2", "user=nobody", "code=authz_fail"]
    assert (await plain(peer, "alice", "secret", authzid="bob", id=3))[0] == "FAIL"


async def test_deny_and_order(start: Start, tmp_path: object) -> None:
    blocks = "".join(
        f"passdb {{\n driver = passwd-file\n args = {tmp_path}/{name}\n{more}}}\n"
        for name, more in (("denied", " deny = yes\n"), ("a", ""), ("b", ""))
    )
    running = await start(blocks, denied="eve\n", a="eve:{PLAIN}x\nboth:{PLAIN}one\n", b="both:{PLAIN}two\n")
    peer = await running.connect()
    assert await plain(peer, "eve", "x") == ["FAIL", "1", "user=eve", "code=user_disabled"]
    assert await plain(peer, "both", "one", id=2) == ["OK", "2", "user=both"]
    assert await plain(peer, "both", "two", id=3) == ["OK", "3", "user=both"]
    assert await plain(peer, "both", "six", id=4) == ["FAIL", "4", "user=both"]


async def test_a_database_that_cannot_be_read_is_a_temporary_failure(start: Start, conf: str) -> None:
    running = await start(conf)
    peer = await running.connect()
    assert await plain(peer, "alice", "secret") == ["FAIL", "1", "user=alice", "code=temp_fail"]


async def test_a_changed_file_is_read_again(start: Start, conf: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth.databases.passwd_file.CHECK_INTERVAL", 0.0)
    running = await start(conf, users=USERS)
    peer = await running.connect()
    assert (await plain(peer, "alice", "new"))[0] == "FAIL"
    running.path("users").write_text("alice:{PLAIN}new\n")
    assert (await plain(peer, "alice", "new", id=2))[0] == "OK"
    assert (await plain(peer, "bob", "pa55-Word", id=3))[0] == "FAIL"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("passdb {\n driver = nosuch\n}\n", "Unknown passdb driver 'nosuch'"),
        ("passdb {\n driver = passwd-file\n}\n", "Missing args"),
        ("auth_mechanisms = ntlm\npassdb {\n driver = static\n}\n", "NTLM is not offered"),
        (
            "auth_mechanisms = plain nosuch\npassdb {\n driver = static\n}\n",
            "Unknown authentication mechanism 'NOSUCH'",
        ),
        ("auth_mechanisms = plain\n", "PLAIN mechanism can't be supported with given passdbs"),
    ],
)
async def test_a_configuration_that_cannot_be_served(start: Start, text: str, reason: str) -> None:
    with pytest.raises(BadArguments, match=reason):
        await start(text)


async def test_failures_are_delayed_and_successes_are_not(start: Start, conf: str) -> None:
    running = await start(conf + "auth_failure_delay = 1 secs\n", users=USERS)
    peer = await running.connect()
    began = time.monotonic()
    peer.say(f"AUTH\t1\tPLAIN\tservice=x\tresp={b64(chr(0) + 'alice' + chr(0) + 'wrong')}")
    assert (await plain(peer, "alice", "secret", id=2))[:2] == ["OK", "2"]
    assert (await peer.line())[:2] == ["FAIL", "1"]
    assert time.monotonic() - began >= 0.95


async def test_an_address_that_fails_has_to_wait(start: Start, conf: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth.penalty.BASE", 0.2)
    running = await start(conf, users=USERS)
    peer = await running.connect()
    assert (await plain(peer, "alice", "wrong", "rip=10.0.0.1"))[0] == "FAIL"
    began = time.monotonic()
    peer.say(f"AUTH\t2\tPLAIN\tservice=x\trip=10.0.0.1\tresp={b64(chr(0) + 'alice' + chr(0) + 'secret')}")
    assert (await plain(peer, "alice", "secret", "rip=10.0.0.2", id=3))[:2] == ["OK", "3"], "others do not wait"
    assert (await peer.line())[:2] == ["OK", "2"]
    assert time.monotonic() - began >= 0.3


async def test_userdb(start: Start, conf: str) -> None:
    running = await start(conf, users=USERS)
    peer = await running.connect("auth-userdb")
    peer.say("USER\t1\tALICE\tservice=lmtp", "USER\t2\tnobody\tservice=lmtp", "PASS\t3\talice\tservice=x")
    replies = sorted([await peer.line(), await peer.line(), await peer.line()], key=lambda words: words[1])
    assert replies == [
        ["USER", "1", "alice", "uid=1001", "gid=1001", "home=/home/alice", "mail=maildir:~/M"],
        ["NOTFOUND", "2"],
        ["PASS", "3", "user=alice", "foo=bar"],
    ]
    peer.say("LIST\t4\tservice=x")
    listed = []
    while (words := await peer.line())[0] == "LIST":
        listed.append(words[2])
    assert words == ["DONE", "4", ""]
    assert "alice" in listed


async def test_static_userdb_asks_the_passdbs(start: Start, tmp_path: object) -> None:
    running = await start(
        f"passdb {{\n driver = passwd-file\n args = {tmp_path}/users\n}}\n"
        "userdb {\n driver = static\n args = uid=5 gid=6 home=/srv/%d/%n\n}\n",
        users="bob@dom.test:{PLAIN}x\n",
    )
    peer = await running.connect("auth-userdb")
    peer.say("USER\t1\tbob@dom.test\tservice=lmtp")
    assert await peer.line() == ["USER", "1", "bob@dom.test", "uid=5", "gid=6", "home=/srv/dom.test/bob"]
    peer.say("USER\t2\teve@dom.test\tservice=lmtp")
    assert await peer.line() == ["NOTFOUND", "2"]


async def test_prefetch_and_finished_log_ins(start: Start, tmp_path: object) -> None:
    running = await start(
        f"passdb {{\n driver = passwd-file\n args = {tmp_path}/users\n}}\nuserdb {{\n driver = prefetch\n}}\n",
        users="alice:{PLAIN}secret::::::userdb_uid=7 userdb_gid=8 userdb_home=/h/%u\n",
    )
    login = await running.connect("auth-login", greet=False)
    greeting = await login.greeting()
    cookie = greeting["COOKIE"][0][0]
    assert (await plain(login, "alice", "secret"))[0] == "OK"
    master = await running.connect("auth-master")
    master.say(f"REQUEST\t9\t4711\t1\t{'0' * 32}")
    assert await master.line() == ["FAIL", "9"]
    master.say(f"REQUEST\t10\t4711\t1\t{cookie}")
    assert await master.line() == [
        "USER", "10", "alice", "uid=7", "gid=8", "home=/h/alice", "auth_mech=PLAIN",
    ]  # fmt: skip
    master.say(f"REQUEST\t11\t4711\t1\t{cookie}")
    assert await master.line() == ["FAIL", "11"], "a log-in is handed out once"


async def test_protocol_breach_closes_one_connection_only(start: Start, conf: str) -> None:
    running = await start(conf, users=USERS)
    good, bad = await running.connect(), await running.connect()
    bad.say("AUTH\t1\tNTLM\tservice=imap")
    assert await bad.line() == []
    assert (await plain(good, "alice", "secret"))[0] == "OK"


async def test_draining_lets_requests_end(start: Start, conf: str) -> None:
    running = await start(conf + "auth_failure_delay = 1 secs\n", users=USERS)
    peer = await running.connect()
    waiting = asyncio.create_task(plain(peer, "alice", "wrong"))
    await asyncio.sleep(0)
    assert (await waiting)[0] == "FAIL"


async def test_log_lines_as_dovecot_writes_them(start: Start, conf: str, caplog: pytest.LogCaptureFixture) -> None:
    running = await start(conf + "auth_verbose = yes\nauth_username_chars =\n", users=USERS)
    peer = await running.connect()
    await plain(peer, "alice", "wrong", "rip=10.0.0.1", "session=abc")
    await plain(peer, "nobody", "x", "rip=10.0.0.1", id=2)
    await plain(peer, "netuser", "secret", "rip=11.0.0.1", id=3)
    await plain(peer, "x\nauth: forged", "x", id=4)
    assert [record.getMessage() for record in caplog.records] == [
        "passwd-file(alice,10.0.0.1,<abc>): Password mismatch",
        "passwd-file(nobody,10.0.0.1): unknown user",
        "passwd-file(netuser,11.0.0.1): allow_nets check failed: IP 11.0.0.1 not in allowed networks",
        "passwd-file(x?auth: forged): unknown user",
    ]


async def test_an_unknown_user_costs_as_much_work_as_a_known_one(
    start: Start, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = []
    real = schemes.verify

    def counting(name: str, stored: str, password: bytes, user: str) -> bool:
        checked.append(name)
        return real(name, stored, password, user)

    monkeypatch.setattr("auth.schemes.verify", counting)
    users = "".join(f"u{number}:{BOB}\n" for number in range(3))
    running = await start(f"passdb {{\n driver = passwd-file\n args = {tmp_path}/users\n}}\n", users=users)
    peer = await running.connect()
    assert (await plain(peer, "u1", "wrong"))[0] == "FAIL"
    assert checked == ["SHA512-CRYPT"]
    assert (await plain(peer, "nobody", "wrong", id=2)) == ["FAIL", "2", "user=nobody"]
    assert checked == ["SHA512-CRYPT"] * 2
    assert (await plain(peer, "nobody", "pa55-Word", id=3))[0] == "FAIL", "the stranger's password opens nothing"


async def test_secrets_stay_out_of_the_log(start: Start, conf: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    running = await start(conf + "auth_verbose = yes\nauth_debug = yes\n", users=USERS)
    peer = await running.connect()
    await plain(peer, "alice", "hunter2-wrong")
    await plain(peer, "alice", "secret", id=2)
    peer.say("AUTH\t3\tPLAIN\tservice=x\tresp=AGh1bnRlcjI=\tgarbage")
    await peer.line()
    assert "Password mismatch" in caplog.text
    assert "hunter2" not in caplog.text
    assert "aHVudGVyMi" not in caplog.text
    assert "secret" not in caplog.text
