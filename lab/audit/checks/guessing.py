"""What guessing passwords costs: only with --allow guessing, as the failures may keep a user out for a while."""

from __future__ import annotations

import asyncio
from typing import Final

from lab.audit.checks.recipients import nobody
from lab.audit.finding import Rule, Severity
from lab.audit.settings import Allow
from lab.audit.visit import KINDS, Visit
from lab.wire import IMAP, POP3, SMTP, Connection, Transcript, WireError

FREE: Final = Rule(
    "failed-logins",
    "Passwords can be guessed at full speed",
    Severity.MEDIUM,
    307,
    "Lists of leaked passwords are tried against every server that can be reached; what slows each failure down makes "
    "them useless.",
    {
        "Postfix": "smtpd_client_auth_rate_limit = 10\nsmtpd_error_sleep_time = 1s",
        "Dovecot": "auth_failure_delay = 2 secs",
        "Exim": "# fail2ban, or a ratelimit condition in acl_smtp_auth",
        "sendmail": "define(`confAUTH_MAX_FAILURES', `3')dnl",
    },
)
TELLING: Final = Rule(
    "login-enumeration",
    "A failed log-in tells whether the user exists",
    Severity.MEDIUM,
    204,
    "Names are collected first, and passwords then tried only for those that exist.",
    {"Dovecot": "auth_verbose = yes  # for the log; the client is told nothing more"},
)
RULES: Final = (FREE, TELLING)

ATTEMPTS: Final = 6
SLOW_SECONDS: Final = 1.0


async def check(visit: Visit) -> None:
    """Up to six wrong passwords of nobody; then, with --user, one of the user and one of nobody to compare."""
    if not visit.allows(Allow.GUESSING) or not visit.has_tls:
        return
    loop = asyncio.get_running_loop()
    evidence, answers, slow = Transcript(), list[str](), False
    try:
        async with visit.session(KINDS[visit.target.kind.protocol], evidence, tls=True) as client:
            visit.be_patient(client)
            while len(answers) < ATTEMPTS and not slow:
                asked = loop.time()
                answers.append(await _failed(client, nobody()))
                slow = loop.time() - asked > SLOW_SECONDS
    except WireError as error:
        visit.note("wrong passwords", f"{len(answers)}, then {error}")
        return
    visit.note("wrong passwords", f"{len(answers)}, {'then the next is slow' if slow else 'all at full speed'}")
    if not _is_failure(answers[0]):
        visit.note("log-in", answers[0])  # there is no log-in here
        return
    if not slow:
        visit.report(FREE, f"{ATTEMPTS} wrong passwords on one connection at full speed", evidence)
    if visit.settings.user:
        await _compare(visit)


async def _compare(visit: Visit) -> None:
    answers = []
    evidence = Transcript()
    for user in (visit.settings.user, nobody()):
        async with visit.session(KINDS[visit.target.kind.protocol], evidence, tls=True) as client:
            visit.be_patient(client)
            answers.append((await _failed(client, user)).replace(user, "USER"))
    if answers[0] != answers[1]:
        visit.report(TELLING, f"a known user: {answers[0]}; an unknown one: {answers[1]}", evidence)


async def _failed(client: Connection, user: str) -> str:
    if isinstance(client, SMTP):
        return str(await client.auth_plain(user, "not-the-password"))
    if isinstance(client, IMAP):
        return str(await client.login(user, "not-the-password"))
    if isinstance(client, POP3):
        return await client.login(user, "not-the-password")
    raise TypeError(client)


def _is_failure(answer: str) -> bool:
    return answer.startswith(("535", "NO", "-ERR"))
