"""queue-survives-crash: kill -9 of every process at once loses no mail that was answered 250."""

from __future__ import annotations

import asyncio

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import SMTP, Transcript, WireError

CONNECTIONS, MAILS_EACH, KILLED_AFTER = 4, 10, 17
ACCEPTED_IN_SECONDS = 15.0


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """Mails go in over several connections; in the middle everything is killed; after a new start all arrive."""
    alice = lab.user("alice")
    port = lab.free_port()
    confdir = lab.copy_of("nullclient", f"127.0.0.1:{port} inet n - n - - smtpd -o hardmail_smtpd_processes=2\n")
    accepted: list[str] = []
    reached = asyncio.Event()

    async def client() -> None:
        try:
            async with await SMTP.open("127.0.0.1", port, transcript=Transcript()) as smtp:
                await smtp.ehlo("localhost")
                for _ in range(MAILS_EACH):
                    token = lab.token()
                    reply = await smtp.send_message("root", [alice.address], lab.message(token))
                    if reply.code == 250:
                        accepted.append(token)
                    if len(accepted) >= KILLED_AFTER:
                        reached.set()
        except WireError:
            return  # killed under our feet: what had no answer does not count

    async with lab.daemon(confdir, evidence) as daemon, asyncio.TaskGroup() as clients:
        for _ in range(CONNECTIONS):
            clients.create_task(client())
        async with asyncio.timeout(ACCEPTED_IN_SECONDS):
            await reached.wait()
        killed = await daemon.kill()
    evidence.note(f"{len(accepted)} mails answered 250, then SIGKILL to {killed} processes")
    if not accepted:
        raise ProbeFailed("no mail was accepted before the kill")

    async with lab.daemon(confdir, evidence):
        counts = await lab.counted(alice, accepted)
    lost = [token for token, count in counts.items() if count == 0]
    doubled = sum(count > 1 for count in counts.values())
    evidence.note(f"after the new start: {len(accepted) - len(lost)} of {len(accepted)} arrived, {doubled} twice")
    if lost:
        return exposed(f"{len(lost)} of {len(accepted)} accepted mails are lost")
    return hardened(f"all {len(accepted)} accepted mails arrived, {doubled} of them twice")


BEHAVIOUR = Behaviour(
    slug="queue-survives-crash",
    title="What was answered 250 arrives, whatever dies",
    source="P Problemstellung (Datenintegrität)",
    why="The 250 at the end of data hands over responsibility. A server that answers before the mail is "
    "safely on disk loses it when the power fails.",
    configuration=(Change("nullclient/main.cf", "queue_directory = "),),
    expectation="every mail answered 250 arrives after kill -9; duplicates only where SMTP cannot exclude them",
    probe=probe,
    instances=("nullclient", "mailhost"),
)
