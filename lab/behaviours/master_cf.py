"""master-cf: eight columns, defaults, options on lines of their own, and a reload that drops nobody."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, exposed, hardened
from lab.behaviours.proxymap import who_opens
from lab.behaviours.stack import ARRIVES_IN_SECONDS, LOOK_AGAIN_SECONDS, Lab
from lab.wire import SMTP, Transcript

# A line goes on where the next one starts with white space; -o belongs to this service alone.
LINE = (
    "127.0.0.1:{port}  inet  n  -  y  -  -  smtpd\n"
    "  -o smtpd_helo_required=yes\n"
    "# a comment does not end the entry\n"
    "  -o smtpd_banner=$myhostname,ESMTP,{word}\n"
)
FREE = "127.0.0.1:{port}  inet  n  -  n  -  -  smtpd\n"


async def greeted(port: int, evidence: Transcript) -> SMTP:
    """A new connection."""
    return await SMTP.open("127.0.0.1", port, transcript=evidence)


async def greets_with(word: str, port: int, evidence: Transcript) -> bool:
    """Whether new connections see this word in the greeting before the time is up."""
    deadline = time.monotonic() + ARRIVES_IN_SECONDS
    while time.monotonic() < deadline:
        async with await greeted(port, Transcript()) as smtp:
            if smtp.greeting.text.endswith(word):
                evidence.note(f"a new connection: {smtp.greeting}")
                return True
        await asyncio.sleep(LOOK_AGAIN_SECONDS)
    return False


def rewrite(confdir: Path, port: int, old: str, new: str) -> None:
    """Change the word in master.cf."""
    file = confdir / "master.cf"
    text = file.read_text()
    if LINE.format(port=port, word=old) not in text:
        raise ProbeFailed("master.cf is not what was written")
    file.write_text(text.replace(LINE.format(port=port, word=old), LINE.format(port=port, word=new)))


async def jailed(lab: Lab, confdir: Path, service: str, evidence: Transcript) -> bool:
    """Whether code inside the service is kept from main.cf, which lies outside the queue directory."""
    return not await who_opens(lab, confdir, service, confdir / "main.cf", evidence)


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """Jail and -o are in force; after a change and a reload new connections see it and the old one goes on."""
    port = lab.free_port()
    confdir = lab.copy_of("nullclient", LINE.format(port=port, word="first") + FREE.format(port=lab.free_port()))
    async with lab.daemon(confdir, evidence) as daemon, await greeted(port, evidence) as old:
        if not old.greeting.text.endswith("first"):
            return exposed(f"-o smtpd_banner is not in force: {old.greeting}")
        if not await jailed(lab, confdir, f"smtpd(127.0.0.1:{port})", evidence):
            return exposed("chroot = y, and code inside smtpd reads main.cf")
        if await jailed(lab, confdir, "smtpd", evidence):
            raise ProbeFailed("chroot = n, and code inside smtpd cannot read main.cf either")
        early = await old.command("MAIL FROM:<root>")
        if early.code != 503:
            return exposed(f"-o smtpd_helo_required is not in force: {early}")
        rewrite(confdir, port, "first", "second")
        evidence.note("master.cf is changed; hardmail reload")
        os.kill(daemon.pid, signal.SIGHUP)
        if not await greets_with("second", port, evidence):
            return exposed("the reload changes nothing")
        still = await old.command("EHLO localhost")
        if still.code != 250:
            return exposed(f"the reload ends open connections: {still}")
    return hardened("chroot and -o in force; after the reload new connections see the change, the open one goes on")


BEHAVIOUR = Behaviour(
    slug="master-cf",
    title="Services are what master.cf says, and a reload interrupts nobody",
    source="L 3.2.1.3 master.cf",
    why="A service with stricter settings than the rest, such as submission, exists only if `-o` really belongs to "
    "one line, and a jail only if the chroot column is obeyed: the kernel then leaves the process nothing but its "
    "queue directory, without root too. And whoever must fear that a reload cuts off users does not fix settings.",
    configuration=(Change("nullclient/master.cf", "smtpd"),),
    expectation="the columns, chroot too, and -o are in force; a reload applies without dropping a connection",
    probe=probe,
    instances=("nullclient",),
)
