"""The exercises of `hardmail lab`: real files to edit, real sockets to talk to, checks that look at the wire."""

from lab.exercises.base import Edit, Exercise, Mistake, Seen, Step
from lab.exercises.catalogue import SLUGS, catalogue, find
from lab.exercises.texts import LANGUAGES, Text, language

__all__ = [
    "LANGUAGES",
    "SLUGS",
    "Edit",
    "Exercise",
    "Mistake",
    "Seen",
    "Step",
    "Text",
    "catalogue",
    "find",
    "language",
]
