"""SQLite, PostgreSQL, MariaDB and an LDAP directory for real: the same users through each, ours beside Dovecot."""

from __future__ import annotations

import base64
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from auth import schemes
from auth.client import AuthClient, AuthFailed, LookupFailed, MasterClient
from tests.interop import realdovecot

if TYPE_CHECKING:
    from ..conftest import Running

pytestmark = [pytest.mark.interop, pytest.mark.needs("dovecot", "dovecot-core")]

Start = Callable[..., Awaitable["Running"]]

CRYPT = schemes.generate("SHA512-CRYPT", b"alice-Pw", rounds=1000)
# name, domain, password, home, uid, extra: what all databases hold. Names that would break a query that is pasted.
USERS = (
    ("alice", "x.test", f"{{SHA512-CRYPT}}{CRYPT}", "/home/alice", 1001, None),
    ("bob", "x.test", "{PLAIN}bob-Pw", "/home/bob", 1002, None),
    ("o'hara", "x.test", "{PLAIN}hara-Pw", "/home/o'hara", 1003, None),
    ("ba\\ck", "x.test", "{PLAIN}back-Pw", "/home/back", 1004, None),
    ("jürgen", "x.test", "{PLAIN}jue-Pw", "/home/jue", 1005, None),
    ("nulls", "x.test", None, "/home/nulls", 1006, None),
    ("nolog", "x.test", "{PLAIN}nolog-Pw", "/home/nolog", 1007, "closed for now"),
)
BOSSES = {"alice": "cn=u1007", "bob": "cn=nobody"}
"""Whom an entry points to, one of them to nobody."""
CREATE = (
    "CREATE TABLE users (username varchar(80), domain varchar(80), password varchar(200), home varchar(80), "
    "uid int, reason varchar(80))"
)
QUERIES = """\
default_pass_scheme = PLAIN
password_query = SELECT username AS user, domain, password, reason, reason AS nologin, home AS userdb_home, \\
  uid AS userdb_uid FROM users WHERE username = '%n' AND domain = '%d'
user_query = SELECT home, uid, 8 AS gid, '%u' AS asked FROM users WHERE username = '%n' AND domain = '%d'
iterate_query = SELECT username, domain FROM users ORDER BY uid
"""
LDAP = """\
base = dc=x,dc=test
dn = cn=admin,dc=x,dc=test
dnpass = s3cret 'quoted'
default_pass_scheme = PLAIN
pass_filter = (&(objectClass=posixAccount)(uid=%u))
pass_attrs = uid=user,gecos=password,description=nologin,description=reason,homeDirectory=userdb_home,uidNumber=userdb_uid,\
  seeAlso=@boss,uidNumber@boss=boss,=superior=%{ldap:homeDirectory@boss:none}
user_filter = (&(objectClass=posixAccount)(uid=%u))
user_attrs = homeDirectory=home,uidNumber=uid,gidNumber=gid,=asked=%u,uid=mail=maildir:/srv/%$,=twice=%{ldap:uid}-%{ldap:nosuch:none},\
  @boss=%{ldap:seeAlso},homeDirectory@boss=superior=above %$,=pointed=%{ldap_ptr:description@boss}
iterate_filter = (objectClass=posixAccount)
"""


def rows() -> str:
    """The users as SQL values."""

    def value(item: object) -> str:
        return "NULL" if item is None else "'" + str(item).replace("'", "''") + "'"

    return ", ".join("(" + ", ".join(map(value, user)) + ")" for user in USERS)


def people() -> str:
    """The users as LDIF."""
    text = ""
    for name, domain, password, home, uid, reason in USERS:
        user = base64.b64encode(f"{name}@{domain}".encode()).decode()
        text += f"\ndn: cn=u{uid},dc=x,dc=test\nchangetype: add\nobjectClass: account\nobjectClass: posixAccount\n"
        text += f"cn: u{uid}\nuid:: {user}\nuidNumber: {uid}\ngidNumber: 8\n"
        text += f"homeDirectory:: {base64.b64encode(home.encode()).decode()}\n"
        if password is not None:
            text += (
                f"gecos: {password}\nuserPassword: {password.partition('}')[2]}\n"
                if "CRYPT" not in password
                else (f"gecos: {password}\nuserPassword: alice-Pw\n")
            )
        if name in BOSSES:
            text += f"seeAlso: {BOSSES[name]},dc=x,dc=test\n"
        if reason is not None:
            text += f"description: {reason}\n"
    return text


LOGINS = [
    ("alice@x.test", "alice-Pw"),
    ("alice@x.test", "wrong"),
    ("alice@x.test", ""),
    ("alice", "alice-Pw"),
    ("bob@x.test", "bob-Pw"),
    ("o'hara@x.test", "hara-Pw"),
    ("jürgen@x.test", "jue-Pw"),
    ("nulls@x.test", ""),
    ("nulls@x.test", "x"),
    ("nolog@x.test", "nolog-Pw"),
    ("nobody@x.test", "x"),
    ("*@x.test", "bob-Pw"),
    ("bob)(uid=*@x.test", "bob-Pw"),
    ("x' OR '1'='1@x.test", "bob-Pw"),
    ("bob@x.test'; DROP TABLE users; --", "bob-Pw"),
]


async def answers(directory: Path) -> list[object]:
    """What a service says of all users, log-ins, lookups and the list."""
    found: list[object] = []
    client, master = AuthClient(directory / "auth-client"), MasterClient(directory / "auth-userdb")

    async def challenge(data: bytes) -> bytes:
        raise AssertionError(data)

    for user, password in LOGINS:
        try:
            good = await client.authenticate("PLAIN", f"\0{user}\0{password}".encode(), challenge)
            found.append((user, good.user, sorted(good.fields.items())))
        except AuthFailed as error:
            found.append((user, error.code, error.temp))
    for name in ("alice@x.test", "o'hara@x.test", "jürgen@x.test", "nobody@x.test", "%u@x.test"):
        with contextlib.suppress(LookupFailed):
            entry = await master.user(name, "lmtp")
            found.append(entry and (entry.user, sorted(entry.fields.items())))
    found.append(sorted([name async for name in master.list(service="doveadm")]))
    await client.close()
    await master.close()
    return found


def blocks(path: Path, driver: str) -> str:
    """Every character allowed in names: the queries have to stand it."""
    texts = [f"{kind} {{\n driver = {driver}\n args = {path}\n}}\n" for kind in ("passdb", "userdb")]
    return "auth_username_chars =\nauth_username_format =\n" + "".join(texts)


async def same(start: Start, place: Path, tmp_path: Path, driver: str, text: str, **files: str) -> list[object]:
    """Our answers, after they have been compared with Dovecot's."""
    path = place / f"{driver}.conf.ext"
    path.write_text(text)
    path.chmod(0o644)
    ours = await answers((await start(blocks(path, driver))).directory)
    with realdovecot.authenticating(place, blocks(path, driver)) as theirs:
        assert ours == await answers(theirs)
    return ours


def expected(found: list[object]) -> None:
    """Spot checks: what both say is also right."""
    logins = {(user, password): answer for (user, password), answer in zip(LOGINS, found, strict=False)}
    good = {key for key, answer in logins.items() if isinstance(answer[2], list)}  # type: ignore[index]
    assert good == {
        ("alice@x.test", "alice-Pw"),
        ("bob@x.test", "bob-Pw"),
        ("o'hara@x.test", "hara-Pw"),
        ("jürgen@x.test", "jue-Pw"),
        ("nolog@x.test", "nolog-Pw"),
    }
    assert len(found[-1]) == len(USERS)  # type: ignore[arg-type]


async def test_sqlite(start: Start, place: Path, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(place / "users.db")) as database:
        database.executescript(f"{CREATE}; INSERT INTO users VALUES {rows()};")
    (place / "users.db").chmod(0o644)
    expected(await same(start, place, tmp_path, "sql", f"driver = sqlite\nconnect = {place}/users.db\n{QUERIES}"))


async def test_postgresql(start: Start, place: Path, tmp_path: Path, pgsql_server: Any) -> None:
    pgsql_server.run(f"CREATE ROLE auth LOGIN PASSWORD 'authpw'; {CREATE}; INSERT INTO users VALUES {rows()};")
    pgsql_server.run("GRANT SELECT ON users TO auth;")
    connect = f"host=127.0.0.1 port={pgsql_server.port} dbname=postgres user=auth password=authpw"
    try:
        expected(await same(start, place, tmp_path, "sql", f"driver = pgsql\nconnect = {connect}\n{QUERIES}"))
    finally:
        pgsql_server.run("DROP TABLE users; DROP ROLE auth;")


async def test_mariadb(start: Start, place: Path, tmp_path: Path, mysql_server: Any) -> None:
    values = rows().replace("\\", "\\\\")
    mysql_server.run(f"USE mail; {CREATE} CHARACTER SET utf8mb4; INSERT INTO users VALUES {values};")
    mysql_server.run("CREATE USER auth@localhost IDENTIFIED BY 'authpw'; GRANT SELECT ON mail.* TO auth@localhost;")
    connect = f"host={mysql_server.socket} dbname=mail user=auth password=authpw"
    try:
        expected(await same(start, place, tmp_path, "sql", f"driver = mysql\nconnect = {connect}\n{QUERIES}"))
    finally:
        mysql_server.run("USE mail; DROP TABLE users; DROP USER auth@localhost;")


@pytest.mark.parametrize("bind", ["lookup", "auth_bind", "auth_bind_userdn"])
async def test_ldap(start: Start, place: Path, tmp_path: Path, ldap_server: Any, bind: str) -> None:
    ldap_server.run(people())
    text = f"{LDAP}tls_ca_cert_file = {ldap_server.ca_file}\n"
    if bind == "auth_bind_userdn":
        text += f"uris = ldapi://{quote(str(ldap_server.socket), safe='')}\nauth_bind_userdn = cn=%u,dc=x,dc=test\n"
    else:
        text += f"hosts = nosuch.invalid 127.0.0.1:{ldap_server.port}\n"
    if bind != "lookup":
        text += "auth_bind = yes\n" + ("tls = yes\n" if bind == "auth_bind" else "")
    try:
        found = await same(start, place, tmp_path, "ldap", text)
    finally:
        names = "".join(f"\ndn: cn=u{user[4]},dc=x,dc=test\nchangetype: delete\n" for user in USERS)
        ldap_server.run(names)
    if bind != "auth_bind_userdn":
        expected(found)


@pytest.mark.parametrize("ours", [True, False])
async def test_ldaps(start: Start, place: Path, ldap_server: Any, ours: bool) -> None:
    """Beyond Dovecot, which leaves the certificates of ldaps:// to ldap.conf: they are checked by the same settings."""
    path, ca = place / "ldap.conf.ext", ldap_server.ca_file if ours else "/etc/ssl/certs/ca-certificates.crt"
    path.write_text(f"{LDAP}uris = ldaps://127.0.0.1:{ldap_server.tls_port}\ntls_ca_cert_file = {ca}\n")
    master = MasterClient((await start(blocks(path, "ldap"))).directory / "auth-userdb")
    try:
        found = await master.user("nobody", "lmtp")
        assert ours and found is None
    except LookupFailed:
        assert not ours
    await master.close()
