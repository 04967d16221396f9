"""One-time passwords: RFC 2289's own vectors, chains, and the OTP mechanism over a database that stores."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from auth import schemes
from auth.client import AuthClient
from auth.mechanisms import MECHANISMS, Environment, Refused
from auth.mechanisms.steps import Challenge, Credentials, Identify, Initial, Store
from auth.schemes import otp
from auth.schemes.errors import SchemeError
from tests.interop import realdovecot

if TYPE_CHECKING:
    from .conftest import Running

Start = Callable[..., Awaitable["Running"]]

VECTORS = [  # RFC 2289 appendix C
    ("md4", "This is a test.", "TeSt", 0, "D1854218EBBB0B51", "ROME MUG FRED SCAN LIVE LACE"),
    ("md4", "This is a test.", "TeSt", 1, "63473EF01CD0B444", "CARD SAD MINI RYE COL KIN"),
    ("md4", "This is a test.", "TeSt", 99, "C5E612776E6C237A", "NOTE OUT IBIS SINK NAVE MODE"),
    ("md5", "This is a test.", "TeSt", 0, "9E876134D90499DD", "INCH SEA ANNE LONG AHEM TOUR"),
    ("md5", "This is a test.", "TeSt", 1, "7965E05436F5029F", "EASE OIL FUM CURE AWRY AVIS"),
    ("md5", "This is a test.", "TeSt", 99, "50FE1962C4965880", "BAIL TUFT BITS GANG CHEF THY"),
    ("sha1", "This is a test.", "TeSt", 0, "BB9E6AE1979D8FF4", "MILT VARY MAST OK SEES WENT"),
    ("sha1", "This is a test.", "TeSt", 1, "63D936639734385B", "CART OTTO HIVE ODE VAT NUT"),
    ("sha1", "This is a test.", "TeSt", 99, "87FEC7768B73CCF9", "GAFF WAIT SKID GIG SKY EYED"),
]


@pytest.mark.parametrize(("algorithm", "passphrase", "seed", "sequence", "hexadecimal", "words"), VECTORS)
def test_vectors(algorithm: str, passphrase: str, seed: str, sequence: int, hexadecimal: str, words: str) -> None:
    password = otp.make(passphrase.encode(), algorithm, sequence, seed)
    assert password.hex().upper() == hexadecimal
    assert otp.words(password) == words
    assert otp.from_words(words.lower()) == otp.from_hex(" ".join(hexadecimal)) == password


@pytest.mark.parametrize("text", ["", "A B C D E", "ROME MUG FRED SCAN LIVE LAB", "ROME MUG FRED SCAN LIVE XXXX"])
def test_no_words(text: str) -> None:
    with pytest.raises(SchemeError):
        otp.from_words(text)


def test_the_scheme() -> None:
    stored = schemes.generate("OTP", b"secret")
    assert stored.startswith("sha1 1024 ")
    assert schemes.verify("OTP", stored, b"secret", "u")
    assert not schemes.verify("OTP", stored, b"Secret", "u")
    # Made by Dovecot's doveadm pw -s OTP -p secret.
    assert schemes.verify("OTP", "sha1 1024 65bf0e97eaaeb99d 630a6d3c7157e5e0", b"secret", "u")
    for broken in ("", "sha1 1024 x", "sha2 1024 x 630a6d3c7157e5e0", "sha1 99999 x 630a6d3c7157e5e0"):
        with pytest.raises(SchemeError):
            schemes.verify("OTP", broken, b"secret", "u")


class User:
    """A user of the mechanism: what is stored, and exchanges with it."""

    def __init__(self, sequence: int = 500) -> None:
        self.stored = otp.Chain("md5", sequence, "seed", otp.make(b"secret", "md5", sequence, "seed")).text()
        self.environment = Environment("h", (), bytes, lambda: 0)
        self.challenge = ""

    def begin(self) -> Any:
        """An exchange that waits for the response."""
        steps = MECHANISMS["OTP"].start(self.environment)
        assert next(steps) == Initial()
        assert steps.send(b"\0alice") == Identify("alice")
        assert steps.send("alice") == Credentials("OTP")
        challenge = steps.send(self.stored.encode())
        assert isinstance(challenge, Challenge)
        self.challenge = challenge.data.decode()
        return steps

    def answer(self, steps: Any, response: str) -> None:
        """Finish it. Raises Refused."""
        store = steps.send(response.encode())
        assert isinstance(store, Store)
        assert "md5" not in repr(store)
        self.stored = store.text
        with pytest.raises(StopIteration):
            steps.send(None)


def test_each_password_works_once() -> None:
    user = User()
    user.answer(user.begin(), "hex:" + otp.make(b"secret", "md5", 499, "seed").hex())
    assert user.challenge == "otp-md5 499 seed ext"
    user.answer(user.begin(), "word:" + otp.words(otp.make(b"secret", "md5", 498, "seed")))
    assert user.challenge == "otp-md5 498 seed ext"
    for sequence in (499, 498, 496):
        with pytest.raises(Refused):
            user.answer(user.begin(), "hex:" + otp.make(b"secret", "md5", sequence, "seed").hex())


def test_a_new_chain() -> None:
    user = User(sequence=2)
    now, new = otp.make(b"secret", "md5", 1, "seed"), otp.make(b"other", "sha1", 400, "fresh")
    user.answer(user.begin(), f"init-hex:{now.hex()}:sha1 400 Fresh:{new.hex()}")
    assert user.stored == f"sha1 400 fresh {new.hex()}"
    user.stored = otp.Chain("md5", 1, "seed", b"8 octets").text()
    with pytest.raises(Refused, match="used up"):
        user.begin()


@pytest.mark.parametrize(
    "response",
    ["", "hex:", "hex:zz", "words:x", "word:ROME", "hex:0:1", "init-hex:9e876134d90499dd", "init-hex:a:b:c", "init-word:::",
     "init-:x", "plain"],
)  # fmt: skip
def test_broken_responses(response: str) -> None:
    user = User()
    with pytest.raises(Refused):
        user.answer(user.begin(), response)


def test_one_exchange_of_a_user_at_a_time() -> None:
    user = User()
    first = user.begin()
    with pytest.raises(Refused, match="under way"):
        user.begin()
    first.close()
    user.answer(user.begin(), "hex:" + otp.make(b"secret", "md5", 499, "seed").hex())


QUERIES = (
    "password_query = SELECT password FROM otp WHERE name = '%n'\n"
    "update_query = UPDATE otp SET password = '%w' WHERE name = '%n'\n"
)
TABLE = (
    "CREATE TABLE otp (name varchar(80), password varchar(200));"
    "INSERT INTO otp VALUES ('alice', '{OTP}sha1 4 seed " + otp.make(b"secret", "sha1", 4, "seed").hex() + "');"
)
SETTINGS = "auth_mechanisms = plain otp\npassdb {{\n driver = sql\n args = {}/sql.conf\n}}\n"


async def test_a_chain_in_sqlite(start: Start, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "otp.db")) as database:
        database.executescript(TABLE)
        (tmp_path / "sql.conf").write_text(f"driver = sqlite\nconnect = {tmp_path}/otp.db\n{QUERIES}")
        running = await start(SETTINGS.format(tmp_path))
        for sequence in (3, 2):
            assert await uses(running.directory, sequence) == f"otp-sha1 {sequence} seed ext"
        stored = "{OTP}sha1 2 seed " + otp.make(b"secret", "sha1", 2, "seed").hex()
        assert database.execute("SELECT password FROM otp").fetchall() == [(stored,)]


@pytest.mark.interop
@pytest.mark.needs("dovecot", "dovecot-sqlite")
async def test_ours_and_dovecot_use_up_one_chain(start: Start, place: Path) -> None:
    """With SQLite, since Dovecot 2.3.19's auth process panics now and then when PostgreSQL has stored a password."""
    with contextlib.closing(sqlite3.connect(place / "otp.db")) as database:
        database.executescript(TABLE)
    (place / "otp.db").chmod(0o666)
    (place / "sql.conf").write_text(f"driver = sqlite\nconnect = {place}/otp.db\n{QUERIES}")
    (place / "sql.conf").chmod(0o644)
    settings = SETTINGS.format(place)
    running = await start(settings)
    with realdovecot.authenticating(place, settings + "userdb {\n driver = static\n args = uid=8 gid=8\n}\n") as theirs:
        for sockets, sequence in ((running.directory, 3), (theirs, 2), (running.directory, 1)):
            assert await uses(sockets, sequence) == f"otp-sha1 {sequence} seed ext"


async def uses(sockets: Path, sequence: int) -> str:
    """Log alice in with that password; the challenge. Raises AuthFailed."""
    client = AuthClient(sockets / "auth-client", "imap")
    seen = []

    async def respond(challenge: bytes) -> bytes:
        seen.append(challenge.decode())
        return b"hex:" + otp.make(b"secret", "sha1", sequence, "seed").hex().encode()

    try:
        assert (await client.authenticate("OTP", b"\0alice", respond)).user == "alice"
    finally:
        await client.close()
    return seen[0]
