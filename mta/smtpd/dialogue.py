"""The course of one SMTP session, from the greeting to the line in the log at its end."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from mta.smtpd import commands, filters, greeting, haproxy, replies, starttls
from mta.smtpd.arguments import join_words, split_command
from mta.smtpd.replies import Reply
from mta.smtpd.wrapper import TurnedAway

if TYPE_CHECKING:
    from mta.smtpd.connection import Connection

log = logging.getLogger("postfix.smtpd")

_HEADER: Final = re.compile(r"[!-9;-~]+[ \t]*:")
"""A word that looks like a message header: its sender is no mail client (smtpd_forbidden_commands, postconf(5))."""

AHEAD_SHOWN: Final = 100
"""Octets of what was sent too early that the log shows."""

_UNPRINTABLE: Final = re.compile(r"[^ -~]")


async def converse(connection: Connection) -> None:
    """The whole session. Whatever goes wrong, the client gets a reply without private detail, the log the reason."""
    from mta.smtpd.connection import Disconnected, TimeLimitExceeded

    session, server = connection.session, connection.server
    host, admitted = server.hostname, True
    try:
        await _greet(connection)
        while not session.hung_up:
            await _answer(connection)
    except TurnedAway:
        admitted = False
    except TimeLimitExceeded:
        log.info("timeout after %s from %s", session.command, session.label)
        await connection.reply(Reply(421, "4.4.2", f"{host} Error: timeout exceeded"))
    except Disconnected:
        log.info("lost connection after %s from %s", session.command, session.label)
    except (ssl.SSLError, ConnectionError) as error:
        log.info("lost connection after %s from %s: %s", session.command, session.label, error)
    except asyncio.CancelledError:
        await connection.reply(Reply(421, "4.3.2", f"{host} Service is shutting down"))
    except Exception:
        log.exception("internal error after %s from %s", session.command, session.label)
        await connection.reply(Reply(421, "4.3.0", f"{host} Error: internal error"))
    finally:
        if session.filters is not None:
            await session.filters.close()
        server.limits.disconnected(session)
        if admitted:
            log.info("disconnect from %s%s", session.label, _counts(session.counts))


async def _greet(connection: Connection) -> None:
    """Find out who calls, and say 220, or why not."""
    session, server = connection.session, connection.server
    if server.upstream_proxy and not await _learn_from_proxy(connection):
        return
    if session.local[1] in server.screened_ports and (verdict := await server.greet_pause.admit(connection)):
        await connection.reply(verdict)
        return
    session.peer_info = await server.peers.identify(session.peer_info)
    server.wrapper.admit(connection)
    log.info("connect from %s", session.label)
    await server.choose_client_rules(session)
    if refusal := await server.limits.connected(session):
        await connection.reply(refusal)
        return
    if server.tls.wrapper_mode:
        starttls.adopt_implicit_tls(connection)
        if refusal := starttls.certificate_refusal(connection):
            await connection.reply(refusal)
            return
    await asyncio.sleep(0)  # so that what has come already is seen
    session.improper_pipelining = connection.input_waiting
    if session.improper_pipelining and server.forbid_pipelining:
        session.hung_up = True
        await connection.reply(replies.OUT_OF_STEP)
        return
    await connection.reply(await greeting.welcome(connection))


async def _learn_from_proxy(connection: Connection) -> bool:
    """Take the PROXY header; without a good one in time there is no session (smtpd_upstream_proxy_protocol)."""
    session = connection.session
    try:
        header = await connection.read_proxy_header(connection.server.upstream_proxy_timeout)
    except (haproxy.Malformed, TimeoutError) as error:
        log.warning("haproxy read error from %s: %s", session.label, str(error) or "time limit exceeded")
        await connection.reply(Reply(421, "4.3.0", f"{connection.server.hostname} Server local error"))
        return False
    if header.client is not None and header.server is not None:
        session.peer_info = replace(session.peer_info, address=header.client[0], port=header.client[1])
        session.local = header.server
    return True


async def _answer(connection: Connection) -> None:
    """One command and its reply."""
    session, server = connection.session, connection.server
    if session.errors >= server.hard_error_limit:
        session.hung_up = True
        await connection.reply(Reply(421, "4.7.0", f"{server.hostname} Error: too many errors"))
        return
    line = await connection.read_line()
    reply = await _obey(connection, line)
    if reply is not None:
        await connection.reply(reply)
        if reply.is_error and reply not in commands.FORGIVEN:
            session.errors += 1


async def _obey(connection: Connection, line: bytes) -> Reply | None:
    """Find the command's row and follow it; None where everything has been said."""
    session, server = connection.session, connection.server
    bare = session.strict_newlines and connection.input.bare_newline
    if bare and (refusal := server.bare_newline_refusal(session)):
        session.hung_up = True
        log.info("bare <LF> received after %s from %s", session.command, session.label)
        return refusal
    line = line.partition(b"\0")[0]  # what smtpd(8), written in C, does not see either
    try:
        text = line.decode("utf-8", "strict" if server.smtputf8 else "surrogateescape")
    except UnicodeDecodeError:
        return replies.BAD_UTF8
    words = split_command(await server.filtered_command(text) if server.command_maps else text)
    if not words:
        return replies.BAD_SYNTAX
    name = words[0].text
    if server.noop_commands and await server.noop_commands.match(name):
        _junk(connection)
        return replies.OK
    command = commands.COMMANDS.get(name.upper())
    if command is None and (_HEADER.match(name) or await server.forbidden_commands.match(name)):
        log.warning("non-SMTP command from %s: %.100s", session.label, _UNPRINTABLE.sub("?", text))
        session.hung_up = True
        return replies.BREAKS_RULES
    return await _perform(connection, command, words)


async def _perform(
    connection: Connection, command: commands.Command | None, words: list[commands.Word]
) -> Reply | None:
    session, server = connection.session, connection.server
    session.command = command.name if command else "UNKNOWN"
    count = session.counts.setdefault(session.command.lower(), [0, 0])
    count[0] += 1
    if command is None:
        return await filters.unknown(connection, join_words(words)) or replies.NOT_RECOGNIZED
    if session.denied is not None and command.name != "QUIT":
        if session.denied.hangs_up:
            return session.denied
        return Reply(503, "5.7.0", f"Error: access denied for {session.label}")
    if server.tls.required and session.tls is None and not command.before_tls:
        return replies.NEED_TLS
    if connection.input_waiting and not session.improper_pipelining and (command.last_in_group or not session.is_esmtp):
        ahead = connection.input.peek(AHEAD_SHOWN).decode("latin-1")
        shown = _UNPRINTABLE.sub("?", ahead.replace("\r", "\\r").replace("\n", "\\n"))
        log.info("improper command pipelining after %s from %s: %s", session.command, session.label, shown)
        session.improper_pipelining = True
        if server.forbid_pipelining:
            session.hung_up = True
            return replies.OUT_OF_STEP
    if session.filter_refusal is not None and command.name in filters.COMMANDS_REFUSED:
        return session.filter_refusal
    reply = await command.handler(connection, words)
    if reply is None or not reply.is_error:
        count[1] += 1
    if command.limited:
        _junk(connection)
    return reply


def _junk(connection: Connection) -> None:
    """Commands that do no work are counted; too many of them are errors (smtpd_junk_command_limit)."""
    session = connection.session
    session.junk_commands += 1
    if session.junk_commands > connection.server.junk_command_limit + 1:
        session.errors += 1


def _counts(counts: dict[str, list[int]]) -> str:
    """` ehlo=1 mail=1 rcpt=0/1 commands=2/3`, as smtpd(8) logs at disconnect."""
    words, given, succeeded = [], 0, 0
    for name, count in sorted(counts.items(), key=_unknown_last) if "unknown" in counts else counts.items():
        given += count[0]
        succeeded += count[1]
        words.append(f" {name}={_ratio(*count)}")
    return f"{''.join(words)} commands={_ratio(given, succeeded)}"


def _unknown_last(item: tuple[str, list[int]]) -> bool:
    return item[0] == "unknown"


def _ratio(given: int, succeeded: int) -> str:
    return str(given) if given == succeeded else f"{succeeded}/{given}"
