"""doveadm pw: make and test stored passwords (man doveadm-pw)."""

from __future__ import annotations

import getopt
import getpass
import os
import sys

from . import schemes

DEFAULT_SCHEME = "CRYPT"
USAGE = "pw: usage: doveadm pw [-l] [-p plaintext] [-r rounds] [-s scheme] [-t hash] [-u user] [-V]"
EXAMPLE = "example: hardmail doveadm pw -s ARGON2ID"


def pw(argv: list[str]) -> int:
    """Run the command; returns its exit status (0, 64 usage, 75 when a hash cannot be made or does not fit)."""
    try:
        flags, rest = getopt.gnu_getopt(argv, "lp:r:s:t:u:V", ["help"])
    except getopt.GetoptError as error:
        missing = error.msg.endswith("requires argument")
        problem = "option requires an argument" if missing else "invalid option"
        print(f"pw: {problem} -- '{error.opt}'", file=sys.stderr)
        return os.EX_USAGE
    values = dict(flags)
    if "--help" in values:
        print(f"{USAGE}\n{EXAMPLE}")
        return 0
    if rest:
        print(f"Error: Extraneous arguments found: {rest[0]}", file=sys.stderr)
        return os.EX_USAGE
    if "-l" in values:
        print(" ".join(schemes.SCHEMES))
        return 0
    rounds = values.get("-r", "0")
    if not rounds.isascii() or not rounds.isdigit() or len(rounds) > 9:
        print(f"Fatal: Invalid number of rounds: {rounds}", file=sys.stderr)
        return os.EX_TEMPFAIL
    if "-t" in values:
        return _test(values["-t"], values)
    return _make(values, int(rounds))


def _password(values: dict[str, str], *, twice: bool) -> bytes:
    """The password of ``-p``, of the terminal, or the first line of the input."""
    if "-p" in values:
        return values["-p"].encode("utf-8", "surrogateescape")
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n").encode("utf-8", "surrogateescape")
    while True:
        password = getpass.getpass("Enter new password: " if twice else "Enter password to verify: ")
        if not twice or getpass.getpass("Retype new password: ") == password:
            return password.encode("utf-8", "surrogateescape")
        print("Passwords don't match!", file=sys.stderr)


def _test(stored: str, values: dict[str, str]) -> int:
    scheme, text = schemes.split(stored, "")
    if not scheme:
        return _fatal("Missing {scheme} prefix from hash")
    try:
        schemes.decode(scheme, text)
    except schemes.UnknownScheme:
        return _fatal("reverse decode check failed: Unknown scheme")
    except schemes.SchemeError as error:
        return _fatal(f"reverse decode check failed: {error}")
    return _verified(stored, scheme, text, _password(values, twice=False), values.get("-u", ""))


def _verified(stored: str, scheme: str, text: str, password: bytes, user: str) -> int:
    try:
        good = schemes.verify(scheme, text, password, user)
    except schemes.SchemeError as error:
        return _fatal(f"reverse password verification check failed: {error}")
    if not good:
        return _fatal("reverse password verification check failed: Password mismatch")
    print(f"{stored} (verified)")
    return 0


def _make(values: dict[str, str], rounds: int) -> int:
    name = values.get("-s", DEFAULT_SCHEME).upper()
    try:
        scheme, _ = schemes.find(name)
    except schemes.UnknownScheme:
        return _fatal(f"Unknown scheme: {name}")
    if scheme.name == "DIGEST-MD5" and not values.get("-u"):
        return _fatal("digest_md5_generate(): username not given")
    password = _password(values, twice=True)
    try:
        text = schemes.generate(name, password, values.get("-u", ""), rounds)
    except schemes.SchemeError as error:
        return _fatal(str(error))
    stored = f"{{{name}}}{text}"
    if "-V" in values:
        return _verified(stored, name, text, password, values.get("-u", ""))
    print(stored)
    return 0


def _fatal(text: str) -> int:
    print(f"Fatal: {text}", file=sys.stderr)
    return os.EX_TEMPFAIL
