"""password-backends: the same log-in through each kind of password database, and none needs a system user."""

from __future__ import annotations

import contextlib
import pwd
import sqlite3
from pathlib import Path

from auth import schemes
from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, exposed, hardened
from lab.behaviours.sasl_programs import auth_service, login, room, saslauthd
from lab.behaviours.stack import Lab
from lab.wire import Transcript

USER, SCHEME = "erika", "SHA512-CRYPT"
SQL = """\
driver = sqlite
connect = {place}/users.db
default_pass_scheme = SHA512-CRYPT
password_query = SELECT password FROM users WHERE name = '%n'
"""
BACKENDS = ("passwd-file", "sql", "static", "saslauthd")


def blocks(place: Path, password: str) -> dict[str, str]:
    """The databases with the user in them; the args of each driver."""
    stored = schemes.generate(SCHEME, password.encode())
    (place / "users").write_text(f"{USER}:{{{SCHEME}}}{stored}\n")
    with contextlib.closing(sqlite3.connect(place / "users.db")) as database, database:
        database.execute("CREATE TABLE users (name text, password text)")
        database.execute("INSERT INTO users VALUES (?, ?)", (USER, stored))
    (place / "sql.conf.ext").write_text(SQL.format(place=place))
    for name in ("users", "users.db"):
        (place / name).chmod(0o644)
    return {
        "passwd-file": f"username_format=%n {place}/users",
        "sql": f"{place}/sql.conf.ext",
        "static": f"password={{{SCHEME}}}{stored}",
        "saslauthd": f"{place}/mux/mux",
    }


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """One service with a passdb of each kind, each for a domain of its own: the right and a wrong password."""
    if USER in {entry.pw_name for entry in pwd.getpwall()}:
        raise ProbeFailed(f"{USER} is a system user here")
    place, password = room(lab, "backends"), lab.token()
    args = blocks(place, password)
    passdbs = [
        f"passdb {{\n  driver = {driver}\n  args = {args[driver]}\n  username_filter = *@{driver}.example\n}}\n"
        for driver in BACKENDS
    ]
    socket = auth_service(place, passdbs)
    (place / "mux").mkdir()
    (place / "mux").chmod(0o755)
    async with (
        saslauthd(place / "mux", evidence, "-a", "passwd-file", "-O", str(place / "users")),
        lab.daemon(place, evidence),
    ):
        for driver in BACKENDS:
            if not await login(socket, f"{USER}@{driver}.example", password, evidence):
                raise ProbeFailed(f"{driver}: the right password is refused")
            if await login(socket, f"{USER}@{driver}.example", "wrong", evidence):
                return exposed(f"{driver}: a wrong password is taken")
    return hardened(f"{USER} logs in through {', '.join(BACKENDS)}; no account of the machine has that name")


BEHAVIOUR = Behaviour(
    slug="password-backends",
    title="Users live in whichever database there is, and need no account on the machine",
    source="D 5.6.2, T 5 (passdb, userdb)",
    why="A mail user who needs an account on the machine gets a shell and a home with it. Users may stand in a file, "
    "in SQL, in a directory or in PAM; the log-in is the same, and what a client types never becomes part of a query.",
    configuration=(Change("mailhost/dovecot.conf", "driver = passwd-file"),),
    expectation="the same log-in through passwd-file, SQL, static and saslauthd, without a system user",
    probe=probe,
    shared=False,
)
