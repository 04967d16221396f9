"""The order of the exercises, and how one is found by its name."""

from __future__ import annotations

import importlib

from lab.exercises.base import Exercise

SLUGS = (
    "12.1",
    "12.2",
    "null-client",
    "tls-snakeoil",
    "open-relay",
    "imap-path-escape",
    "brute-force",
    "blocklists",
    "saslauthd",
    "chroot-proxymap",
    "backup-mx",
)


def find(slug: str) -> Exercise:
    """The exercise of that name. Raises KeyError."""
    if slug not in SLUGS:
        raise KeyError(slug)
    name = f"lab-{slug}" if slug[0].isdigit() else slug
    module = importlib.import_module("lab.exercises." + name.replace("-", "_").replace(".", "_"))
    exercise: Exercise = module.EXERCISE
    return exercise


def catalogue() -> tuple[Exercise, ...]:
    """All exercises, in order."""
    return tuple(map(find, SLUGS))
