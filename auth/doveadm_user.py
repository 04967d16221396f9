"""doveadm user: userdb lookups and lists through a running auth service (man doveadm-user)."""

from __future__ import annotations

import asyncio
import getopt
import os
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol

from . import variables
from .client import AuthUnavailable, MasterClient, UserFields
from .doveadm_auth import info
from .doveadm_format import FORMATTERS, Column
from .dovecotconf import DovecotConfig

USAGE = (
    "doveadm user [-a <userdb socket path>] [-x <auth info>] [-f field] [-e <value>] [-u] "
    "<user mask> [<user mask> [...]]"
)


COLUMNS = (Column("field"), Column("value"))


class Context(Protocol):
    """What the command needs of doveadm."""

    @property
    def formatter(self) -> str:
        """The output format (``-f`` before the command)."""

    def config(self) -> DovecotConfig:
        """dovecot.conf."""

    def socket(self, given: str | None, name: str) -> Path:
        """The socket to ask."""


def user(context: Context, argv: list[str]) -> int:
    """Run the command; 67 for an unknown user, 75 when the service cannot be asked."""
    flags, masks = getopt.gnu_getopt(argv, "a:x:f:e:u")
    if not masks:
        print(USAGE, file=sys.stderr)
        return os.EX_USAGE
    values = dict(flags)
    client = MasterClient(context.socket(values.get("-a"), "auth-userdb"))
    if any(char in mask for mask in masks for char in "*?"):
        return asyncio.run(_list(client, masks))
    return asyncio.run(_Lookup(context, client, flags).run(masks))


async def _list(client: MasterClient, masks: list[str]) -> int:
    try:
        async for name in client.list(masks[0] if len(masks) == 1 else "", service="doveadm"):
            if any(fnmatchcase(name, mask.replace("[", "[[]")) for mask in masks):
                print(name)
    except AuthUnavailable as error:
        print(f"Error: user listing failed: {error}", file=sys.stderr)
        return os.EX_TEMPFAIL
    finally:
        await client.close()
    return 0


class _Lookup:
    """Userdb lookups of some users, printed at the end as one table."""

    def __init__(self, context: Context, client: MasterClient, flags: list[tuple[str, str]]) -> None:
        values = dict(flags)
        self._client = client
        self._parameters = info(value for flag, value in flags if flag == "-x")
        self._field = values.get("-f")
        self._template = values.get("-e")
        self._plain = "-u" in values
        self._formatter = context.formatter or "tab"
        self._location = context.config().raw("mail_location")
        self._rows: list[tuple[str, str]] = []
        self._text: list[str] = []

    async def run(self, names: list[str]) -> int:
        """Look all of them up; the last trouble decides the exit status."""
        status = 0
        for number, name in enumerate(names):
            if number:
                self._text.append("")
            status = await self._one(name) or status
        await self._client.close()
        if self._field is None and self._template is None and not self._plain:
            sys.stdout.write(FORMATTERS[self._formatter](COLUMNS, self._rows))
        if self._text:
            print("\n".join(self._text))
        return status

    async def _one(self, name: str) -> int:
        try:
            found = await self._client.user_with(name, self._parameters)
        except AuthUnavailable as error:
            print(f"doveadm({name}): Error: auth-master: userdb lookup({name}): {error}", file=sys.stderr)
            return os.EX_TEMPFAIL
        if found is None:
            message = f"userdb lookup: user {name} doesn't exist"
            if self._field is not None or self._template is not None:
                print(message, file=sys.stderr)
            else:
                self._text += [message] if self._plain else ["", message]
            return os.EX_NOUSER
        self._print(name, found)
        return 0

    def _print(self, name: str, found: UserFields) -> None:
        if self._plain:
            pairs = [("user", found.user), *found.fields.items()]
            self._text += [f"userdb: {name}", *(f"  {key:<10}: {value}" for key, value in pairs)]
            return
        fields = self._fields(found)
        if self._template is not None:
            text = variables.expand(self._template, lambda key: _variable(found.user, fields, key))
            self._text.append(text)
        elif self._field is not None:
            if self._field in fields:
                self._text.append(fields[self._field])
        else:
            self._rows += fields.items()

    def _fields(self, found: UserFields) -> dict[str, str]:
        """The userdb's fields as the mail processes take them: mail_location stands in for a missing ``mail``."""
        fields = {key: found.fields.get(key, "") for key in ("uid", "gid", "home")}
        mail = found.fields.get("mail") or self._location
        fields["mail"] = variables.expand(mail, lambda key: _variable(found.user, fields, key))
        return fields | {key: value for key, value in found.fields.items() if key not in fields}


def _variable(name: str, fields: dict[str, str], key: str) -> str | None:
    local, _, domain = name.partition("@")
    known = {"u": name, "user": name, "n": local, "username": local, "d": domain, "domain": domain}
    known |= {"h": fields.get("home", ""), "s": "doveadm", "service": "doveadm"}
    return known.get(key, fields.get(key))
