"""From a student's seed to names, domains and passwords of his own, so that answers cannot be passed on."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from lab.errors import LabError
from lab.profiles import PASSWORD_LENGTH, PASSWORD_LETTERS

DOMAINS = (
    "ahorn", "amsel", "birke", "buche", "dachs", "distel", "eiche", "elster", "erle", "falke", "farn", "fichte",
    "flieder", "fuchs", "ginster", "hasel", "heide", "hirsch", "igel", "kiefer", "klee", "kranich", "lerche", "linde",
    "luchs", "marder", "moos", "otter", "pappel", "reiher", "robbe", "salbei", "schilf", "specht", "tanne", "ulme",
    "veilchen", "weide", "wiesel", "zeisig",
)  # fmt: skip
USERS = (
    "ada", "ben", "cora", "dario", "edda", "emil", "fabio", "frida", "greta", "hanna", "ida", "ivo", "jana", "jonas",
    "karl", "lena", "luis", "mara", "milo", "nina", "nora", "oskar", "paula", "pia", "quentin", "rosa", "ruben", "sara",
    "theo", "tilda", "ulla", "vera", "wanda", "xaver", "yara", "zoe",
)  # fmt: skip


KEY_OCTETS = SEED_OCTETS = 32


def make_key(path: Path) -> None:
    """Write a new key of a class, for the teacher's eyes only. Raises LabError, also if there is a file already."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise LabError(f"{path}: {error.strerror}") from None
    with open(descriptor, "w", encoding="ascii") as file:  # noqa: PTH123 - a descriptor
        file.write(secrets.token_hex(KEY_OCTETS) + "\n")


def read_key(path: Path) -> bytes:
    """The key of a class. Raises LabError."""
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise LabError(f"{path}: {error}") from None
    if len(key) < KEY_OCTETS:
        raise LabError(f"{path} holds no key; `hardmail lab seed --key {path}` makes one where there is no file")
    return key


def student_seed(key: bytes, student: str) -> bytes:
    """The seed of one student of the class that has this key; without a key (b"") anybody can make it."""
    return derived(key, "student", student)


def derived(secret: bytes, *labels: str) -> bytes:
    """32 octets for one purpose, from which neither the secret nor those of another purpose can be found."""
    return hmac.digest(secret, "\0".join(("hardmail-lab", *labels)).encode(), hashlib.sha256)


def _choice(seed: bytes, label: str, words: tuple[str, ...]) -> str:
    return words[int.from_bytes(derived(seed, label)) % len(words)]


def names(seed: bytes, slug: str) -> dict[str, str]:
    """The domains and the users of one exercise."""
    seed = derived(seed, "exercise", slug)
    users: list[str] = []
    for role in ("user", "colleague", "partner", "head"):
        users.append(_choice(seed, role, tuple(name for name in USERS if name not in users)))
    domains: list[str] = []
    for role in ("domain", "partner domain", "head domain"):
        domains.append(_choice(seed, role, tuple(word for word in DOMAINS if word not in domains)))
    own, other, head = (
        f"{word}{number % 90 + 10}.example"
        for word, number in zip(domains, derived(seed, "numbers")[: len(domains)], strict=True)
    )
    return {
        "domain": own,
        "partner_domain": other,
        "head_domain": head,
        "user": users[0],
        "colleague": users[1],
        "partner": users[2],
        "head": users[3],
    }


def password(seed: bytes, slug: str, user: str) -> str:
    """The password of a user of one exercise: as long as those that a lab makes at random."""
    octets = derived(seed, "password", slug, user)
    return "".join(PASSWORD_LETTERS[octet % len(PASSWORD_LETTERS)] for octet in octets[:PASSWORD_LENGTH])
