"""The documented hardening behaviours: each one a small module with its source, its configuration line and its probe.

A behaviour works when its configuration line is accepted as the source writes it, a real client over a real socket
sees the hardened answer, and the weakened twin (the same stack with only that line turned) shows the hole.

    from lab.behaviours import catalogue
    for behaviour in catalogue():
        print(behaviour.slug, behaviour.source)
"""

from lab.behaviours.base import Behaviour, Change, Finding, Outcome, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.catalogue import DEMO, SLUGS, catalogue, demonstrated, find

__all__ = [
    "DEMO",
    "SLUGS",
    "Behaviour",
    "Change",
    "Finding",
    "Outcome",
    "ProbeFailed",
    "Twin",
    "catalogue",
    "demonstrated",
    "exposed",
    "find",
    "hardened",
]
