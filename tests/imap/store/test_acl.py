"""ACL files as Dovecot's vfile backend reads, weighs and writes them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imap.store import acl
from imap.store.access import read_global
from imap.store.acl import ALL, BadAcl, Entry, Identifier, Person

BOB = Person("bob", frozenset({"g1", "g2"}))
CASES = [
    line.split("|")
    for line in (Path(__file__).parent / "acl_cases.txt").read_text().splitlines()
    if line and not line.startswith("#")
]


def lines(text: str) -> str:
    return "\n".join(part.strip() for part in text.split(","))


def told(rights: frozenset[str]) -> str:
    """As MYRIGHTS tells them."""
    letters = "".join(letter for letter in acl.RIGHTS if letter in rights)
    return letters + "c" * bool(set("kx") & rights) + "d" * bool(set("te") & rights)


@pytest.mark.parametrize(("kind", "local", "everywhere", "rights"), CASES)
def test_rights_are_what_dovecot_makes_of_them(kind: str, local: str, everywhere: str, rights: str) -> None:
    owner = kind.strip() == "own"
    entries = acl.in_order([*acl.parse(lines(local)), *acl.parse(lines(everywhere), is_global=True)])
    found = acl.effective(entries, BOB, owner=owner)
    assert told(found if found is not None else ALL if owner else frozenset("lr")) == rights.strip()


def test_a_file_is_written_as_dovecot_writes_it() -> None:
    text = """\
anyone lr
group= lr
group=!x lr
group=group lrw
owner alr
user=a"b klr
-user=bob w
"user=user with \\"space" lr
user=user=bob2 lrw :mine other
user=zoe
"""
    assert acl.write(acl.parse(text)) == text
    assert acl.write(acl.parse("user=zoe\n" + text.replace("klr", "rlk"))) == text


@pytest.mark.parametrize(
    "line", ["bob lr", "user lr", "anyone=x lr", "user=bob lrq", "-", "= lr", "user=bob lr\nrubbish", '"user=bob lr']
)
def test_a_line_that_is_none_spoils_the_file(line: str) -> None:
    with pytest.raises(BadAcl):
        acl.parse(line)


def test_the_global_file_has_mailboxes_in_front() -> None:
    found = read_global('# all\nWork* user=bob lr\n"My own" -anyone x\nWork* user=carol lr\n')
    assert found == (
        ("Work*", Entry(Identifier("user", "bob"), frozenset("lr"), is_global=True)),
        ("Work*", Entry(Identifier("user", "carol"), frozenset("lr"), is_global=True)),
        ("My own", Entry(Identifier("anyone"), None, frozenset("x"), is_global=True)),
    )


@given(st.text(max_size=200))
def test_only_the_typed_error_escapes(text: str) -> None:
    for read in (acl.parse, read_global):
        with contextlib.suppress(BadAcl):
            read(text)  # type: ignore[operator]


@given(
    st.lists(
        st.builds(
            Entry,
            st.builds(Identifier, st.sampled_from(["user", "group"]), st.text('ab "\\=-é', max_size=5))
            | st.builds(Identifier, st.sampled_from(["anyone", "owner"])),
            st.frozensets(st.sampled_from("lrwstipekxa")) | st.none(),
            st.frozensets(st.sampled_from("lrwstipekxa")),
        ),
        unique_by=lambda entry: entry.identifier,
    )
)
def test_what_is_written_is_read_again(entries: list[Entry]) -> None:
    assert acl.parse(acl.write(entries)) == acl.in_order(entries)
