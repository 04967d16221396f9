"""doveadm auth: try log-ins and look users up through a running auth service (man doveadm-auth)."""

from __future__ import annotations

import asyncio
import getopt
import getpass
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from .client import AuthClient, AuthFailed, AuthSuccess, AuthUnavailable, MasterClient
from .protocol import Parameters

EX_NOPERM = 77


class Context(Protocol):
    """What the commands need of doveadm."""

    def socket(self, given: str | None, name: str) -> Path:
        """The socket to ask."""


def info(words: Iterable[str]) -> Parameters:
    """The ``-x name=value`` parameters of a lookup; the service is doveadm unless they say otherwise."""
    parameters = Parameters(service="doveadm")
    for word in words:
        parameters.set(word)
    return parameters


def _usage(text: str) -> None:
    print(f"doveadm auth {text}", file=sys.stderr)


def field_lines(fields: Mapping[str, str]) -> list[str]:
    """``  name=value`` per field."""
    return [f"  {name}={value}" if value else f"  {name}" for name, value in fields.items()]


def test(context: Context, argv: list[str]) -> int:
    """``auth test``: 0 when the password is right, 77 when not or when the service cannot be asked."""
    flags, rest = getopt.gnu_getopt(argv, "a:x:M:")
    if not 1 <= len(rest) <= 2:
        _usage("test [-a <auth socket path>] [-x <auth info>] [-M <master user>] <user> [<password>]")
        return os.EX_USAGE
    values = dict(flags)
    client = AuthClient(context.socket(values.get("-a"), "auth-client"), "doveadm")
    words = [value for flag, value in flags if flag == "-x"]

    async def run() -> int:
        status, _ = await _try(client, rest, words, values.get("-M", ""))
        await client.close()
        return status

    return asyncio.run(run())


async def _try(
    client: AuthClient, rest: list[str], words: list[str], master: str, *, nologin: bool = True
) -> tuple[int, AuthSuccess | None]:
    user = rest[0]
    password = rest[1] if len(rest) > 1 else _ask_password()
    message = f"{user}\0{master}\0{password}" if master else f"\0{user}\0{password}"
    parameters = info(words)
    parameters.nologin = nologin
    try:
        success = await client.exchange("PLAIN", parameters, message.encode("utf-8", "surrogateescape"))
    except AuthUnavailable as error:
        print(f"Error: {error}", file=sys.stderr)
        return EX_NOPERM, None
    except AuthFailed as error:
        print(f"passdb: {user} auth failed")
        if error.fields:
            print("\n".join(["extra fields:", *field_lines(error.fields)]))
        return EX_NOPERM, None
    print(f"passdb: {user} auth succeeded")
    print("\n".join(["extra fields:", *field_lines({"user": success.user, **success.fields})]))
    return 0, success


def _ask_password() -> str:
    return getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")


def login(context: Context, argv: list[str]) -> int:
    """``auth login``: as ``test``, then the userdb's fields as a log-in process would get them."""
    flags, rest = getopt.gnu_getopt(argv, "a:m:x:M:")
    if not 1 <= len(rest) <= 2:
        _usage(
            "login [-a <auth-login socket path>] [-m <auth-master socket path>] [-x <auth info>] "
            "[-M <master user>] <user> [<password>]"
        )
        return os.EX_USAGE
    values = dict(flags)
    client = AuthClient(context.socket(values.get("-a"), "auth-login"), "doveadm")
    master = MasterClient(context.socket(values.get("-m"), "auth-master"))
    words = [value for flag, value in flags if flag == "-x"]

    async def run() -> int:
        # The log-in lives as long as its connection: it is closed only after the master has asked.
        status, success = await _try(client, rest, words, values.get("-M", ""), nologin=False)
        if success is None:
            return status
        try:
            found = await master.login(success)
        except AuthUnavailable as error:
            print(f"Error: userdb lookup failed: {error}", file=sys.stderr)
            return EX_NOPERM
        finally:
            await client.close()
            await master.close()
        if found is None:
            return EX_NOPERM
        print("\n".join(["userdb extra fields:", f"  {found.user}", *field_lines(found.fields)]))
        return 0

    return asyncio.run(run())


def lookup(context: Context, argv: list[str]) -> int:
    """``auth lookup``: the passdb's fields; 67 for an unknown user, 75 when the service cannot be asked."""
    flags, users = getopt.gnu_getopt(argv, "a:x:f:")
    if not users:
        _usage("lookup [-a <userdb socket path>] [-x <auth info>] [-f field] <user> [<user> [...]]")
        return os.EX_USAGE
    values = dict(flags)
    client = MasterClient(context.socket(values.get("-a"), "auth-userdb"))
    parameters = info(value for flag, value in flags if flag == "-x")

    async def run() -> int:
        status = 0
        for number, user in enumerate(users):
            if number:
                print()
            status = await _lookup_one(client, user, parameters, values.get("-f")) or status
        await client.close()
        return status

    return asyncio.run(run())


async def _lookup_one(client: MasterClient, user: str, parameters: Parameters, only: str | None) -> int:
    try:
        found = await client.passdb_with(user, parameters)
    except AuthUnavailable as error:
        print(f"Error: auth-master: passdb lookup({user}): {error}", file=sys.stderr)
        print(f"Error: passdb lookup failed for {user}", file=sys.stderr)
        return os.EX_TEMPFAIL
    if found is None:
        print(f"passdb lookup: user {user} doesn't exist")
        return os.EX_NOUSER
    if only is not None:
        if only in found.fields:
            print(found.fields[only])
        return 0
    print(f"passdb: {user}")
    for name, value in found.fields.items():
        print(f"  {name:<10}: {value}" if value else f"  {name:<10}")
    return 0


def flush(context: Context, argv: list[str]) -> int:
    """``auth cache flush``: the service forgets what it has cached, of some users or of all."""
    flags, users = getopt.gnu_getopt(argv, "a:")
    client = MasterClient(context.socket(dict(flags).get("-a"), "auth-master"))

    async def run() -> int:
        try:
            count = await client.flush_cache(*users)
        except AuthUnavailable as error:
            print(f"Fatal: {error}", file=sys.stderr)
            return os.EX_TEMPFAIL
        finally:
            await client.close()
        print(f"{count} cache entries flushed")
        return 0

    return asyncio.run(run())
