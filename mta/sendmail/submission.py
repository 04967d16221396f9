"""A drop handed to the running daemon by SMTP: for users who may not write into the maildrop.

Postfix has a set-group-id program for this (postdrop(1)). Nothing here runs with more rights than its caller's, so the
way of nullmailer and its kin is taken: the daemon's own listener on this host, which knows whom it trusts.
"""

from __future__ import annotations

import os
import smtplib
import sys
from collections.abc import Iterator

from mta.address import quote_821
from mta.config import ConfigErrors, MainConfig, MasterConfig
from mta.delivery.smtp.envelope import xtext
from mta.queue.message import Notify
from mta.queue.tool import Fatal
from mta.sendmail.maildrop import Drop

TIMEOUT = 60.0
"""Seconds for each step of the dialogue."""


def submit(config: MainConfig, drop: Drop) -> None:
    """Hand a drop to the first listener that takes connections. Raises Fatal with a status of sysexits.h."""
    for host, port in listeners(config):
        try:
            client = smtplib.SMTP(host, port, config.str("myhostname"), TIMEOUT)
        except (OSError, smtplib.SMTPException):
            continue
        with client:
            _send(client, drop)
        return
    raise Fatal(
        "the queue belongs to another user and the mail system does not answer: try again later", os.EX_TEMPFAIL
    )


def listeners(config: MainConfig) -> Iterator[tuple[str, int]]:
    """Addresses of the daemon's plain SMTP listeners on this host, loopback first."""
    try:
        services = MasterConfig.load(config.confdir, config)
    except ConfigErrors:
        return
    found = []
    for service in services:
        if service.type != "inet" or service.command not in ("smtpd", "postscreen"):
            continue
        if service.overrides.get("smtpd_tls_wrappermode") == "yes":
            continue
        host, port = service.endpoint
        number = int(port) if port.isdigit() else {"smtp": 25, "submission": 587}.get(port, 0)
        if number:
            found.append((host if host and host not in ("0.0.0.0", "::") else "127.0.0.1", number))  # noqa: S104
    yield from sorted(found, key=lambda place: not place[0].startswith(("127.", "::1", "localhost")))


def _send(client: smtplib.SMTP, drop: Drop) -> None:
    try:
        client.ehlo_or_helo_if_needed()
        code, text = client.mail(quote_821(drop.sender) if drop.sender else "", _mail_options(client, drop))
        if code != 250:
            raise Fatal(_said(code, text), _status(code, os.EX_UNAVAILABLE))
        refused = 0
        for recipient in drop.recipients:
            code, text = client.rcpt(quote_821(recipient), _rcpt_options(client, drop))
            if code // 100 != 2:
                refused += 1
                print(f"sendmail: {recipient}: {_said(code, text)}", file=sys.stderr)
        if refused == len(drop.recipients):
            raise Fatal("no recipient was accepted", _status(code, os.EX_NOUSER))
        code, text = client.data(drop.content)
        if code != 250:
            raise Fatal(_said(code, text), _status(code, os.EX_UNAVAILABLE))
        if refused:
            raise Fatal("some recipients were not accepted", os.EX_NOUSER)
    except (OSError, smtplib.SMTPException) as error:
        raise Fatal(f"the mail system broke off: {error}", os.EX_TEMPFAIL) from error


def _mail_options(client: smtplib.SMTP, drop: Drop) -> list[str]:
    options = []
    if client.does_esmtp and drop.smtputf8 and client.has_extn("smtputf8"):
        options += ["SMTPUTF8", "BODY=8BITMIME"]
        client.command_encoding = "utf-8"
    elif drop.body and client.has_extn("8bitmime"):
        options.append(f"BODY={drop.body}")
    if client.has_extn("dsn"):
        options += [f"RET={drop.ret}"] if drop.ret else []
        options += [f"ENVID={xtext(drop.envid)}"] if drop.envid else []
    return options


def _rcpt_options(client: smtplib.SMTP, drop: Drop) -> list[str]:
    return [f"NOTIFY={Notify(drop.notify).wire()}"] if drop.notify and client.has_extn("dsn") else []


def _said(code: int, text: bytes) -> str:
    return f"{code} {text.decode('utf-8', 'replace')}".replace("\n", " ")


def _status(code: int, permanent: int) -> int:
    return os.EX_TEMPFAIL if code // 100 == 4 else permanent
