"""null-client: everything, local parts included, goes to the smarthost; nothing is delivered locally."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """Mail to a bare local part and to a full address, given to the null client, arrives on the mail host."""
    alice, token, bare = lab.user("alice"), lab.token(), lab.token()
    async with await lab.smtp("nullclient.smtp", evidence, source="127.0.0.1") as smtp:
        await smtp.ehlo("localhost")
        for recipient, word in ((alice.address, token), ("alice", bare)):
            reply = await smtp.send_message("root", [recipient], lab.message(word))
            if reply.code != 250:
                raise ProbeFailed(f"<{recipient}>: {reply}")
    for word in (token, bare):
        mail = await lab.arrived(alice, word, evidence)
        if mail.count(b"\nReceived:") + mail.startswith(b"Received:") < 2:
            raise ProbeFailed("the mail did not come through the null client and the mail host")
    left = await lab.queued("nullclient")
    if left:
        raise ProbeFailed(f"still queued on the null client: {left}")
    return hardened("alice and alice@domain both went to the smarthost; the null client keeps nothing")


BEHAVIOUR = Behaviour(
    slug="null-client",
    title="A null client hands everything to the central mail host",
    source="D 5.6.1 Konfiguration eines Nullmailers",
    why="A machine that delivers mail itself needs mailboxes, users and care. A null client has none of them: "
    "all it can do is hand over to the smarthost.",
    configuration=(
        Change("nullclient/main.cf", "inet_interfaces = loopback-only"),
        Change("nullclient/main.cf", "mydestination ="),
        Change("nullclient/main.cf", "relayhost = ["),
    ),
    expectation="all mail arrives on the mail host; nothing is delivered locally",
    probe=probe,
    instances=("nullclient", "mailhost"),
)
