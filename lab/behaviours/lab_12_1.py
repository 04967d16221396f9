"""lab-12.1: mail for a test domain is accepted from outside and delivered to local users; the exercise's own check."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, Twin
from lab.behaviours.stack import Lab
from lab.wire import Transcript


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """Every step of the exercise, looked at on this stack as on a student's."""
    from lab.exercises.engine import on_stack

    return await on_stack("12.1", lab, evidence)


BEHAVIOUR = Behaviour(
    slug="lab-12.1",
    title="Lab 12.1: mail from outside reaches local users, and nobody else gets anything through",
    source="T Lab 12.1: Mails von außen annehmen",
    why="Accepting mail from outside is the first thing that a mail server is opened for, and the first thing that is "
    "opened too far. The check of the exercise plays the partner: he is greeted, writes to both users, to a name that "
    "nobody has, and to a third domain. `hardmail lab start 12.1` begins the exercise.",
    configuration=(
        Change("mailhost/main.cf", "mydestination = $mydomain, $myhostname"),
        Change("mailhost/main.cf", "mynetworks = 127.0.0.2/32"),
    ),
    expectation="220, 250 for both users and their mail delivered, 550 for an invented name, 554 for a third domain",
    probe=probe,
    twin=Twin(
        (Change("mailhost/main.cf", "mynetworks = 127.0.0.0/8"),),
        "the check sees that the partner can send to anybody, and says so",
    ),
    instances=("mailhost", "outside"),
    shared=False,
)
