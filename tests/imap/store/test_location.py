"""mail_location: what is read, what is refused, and that nothing parses to a path outside."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imap.store.location import BadLocation, parse


def test_all_settings() -> None:
    place = parse("maildir:~/Maildir:LAYOUT=fs:INBOX=/srv/m/in:CONTROL=/srv/m/c:INDEX=MEMORY", "/srv/m", "/srv/m/u")
    assert (place.root, place.layout, place.inbox) == ("u/Maildir", "fs", "in")
    assert (place.control, place.index) == ("c", None)


def test_index_lies_with_the_control_files_by_default() -> None:
    place = parse("maildir:/srv/m/u", "/srv/m")
    assert (place.root, place.inbox, place.control, place.index) == ("u", "u", "u", "u")


def test_doubled_colon() -> None:
    assert parse("maildir:/srv/m/a::b", "/srv/m").root == "a:b"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mbox:~/mail",
        "maildir:",
        "maildir:relative",
        "maildir:/etc",
        "maildir:/srv/m",
        "maildir:/srv/m/../x",
        "maildir:/srv/m/u/../../../etc",
        "maildir:/srv/mx/u",
        "maildir:/srv/m/u:INDEX=/tmp/x",
        "maildir:/srv/m/u:LAYOUT=index",
        "maildir:/srv/m/u:WHAT=1",
        "maildir:~/Maildir",  # no home
        "maildir:~root/Maildir",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(BadLocation):
        parse(text, "/srv/m")


@given(st.text(alphabet="/.~:u%=IEX\0a", max_size=30), st.sampled_from(["", ":INDEX=", ":CONTROL=", ":INBOX="]))
def test_never_outside(path: str, setting: str) -> None:
    try:
        place = parse(f"maildir:/srv/m/u{setting}{path}" if setting else f"maildir:{path}", "/srv/m", "/srv/m/u")
    except BadLocation:
        return
    for found in (place.root, place.inbox, place.control, place.index):
        assert found is None or (found and not found.startswith("/") and ".." not in found.split("/"))
