"""Whatever a table says, it is read and judged without an exception, and what refuses all but some does so."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from auth.tcpwrap import Host, Request, decide, parse
from auth.tcpwrap.access import expand
from auth.tcpwrap.patterns import matches_text

# fmt: off
WORDS = st.sampled_from([
    "ALL", "EXCEPT", "smtpd", "192.0.2.1", "192.", ".example", "@", "@x", "a@", "/", "/f", "1/2", "[", "[::]/0", "*", "?",
    ":", ",", " ", "\\", "#", "=", "%", "allow", "deny", "severity", "twist", "banners", "KNOWN", "/24", "\n", "\t",
])
# fmt: on
TEXTS = st.one_of(st.text(max_size=200), st.lists(WORDS, max_size=40).map("".join))
REQUEST = Request("smtpd", Host("192.0.2.1", "mx.example"))


@given(TEXTS, TEXTS)
def test_any_text_is_a_table(allow: str, deny: str) -> None:
    decision = decide(parse(allow, "a"), parse(deny, "d"), REQUEST, lambda path: allow.split())
    assert decision.granted in (True, False)


@given(TEXTS)
def test_a_table_cut_at_every_character_is_one(text: str) -> None:
    for end in range(len(text)):
        decide(parse(text[:end]), parse(text[end:]), REQUEST)


@given(TEXTS)
def test_without_a_grant_everybody_is_refused(text: str) -> None:
    assert not decide(parse(f"#{text.replace(chr(10), ' ').rstrip(chr(92))}\n"), parse("ALL: ALL\n"), REQUEST).granted


@given(st.text(alphabet="ab.*?", max_size=12), st.text(alphabet="ab.", max_size=12))
def test_wildcards_match_as_a_recursive_definition_says(pattern: str, text: str) -> None:
    def match(rest: str, left: str) -> bool:
        if not rest:
            return not left
        if rest[0] == "*":
            return match(rest[1:], left) or (bool(left) and match(rest, left[1:]))
        return bool(left) and rest[0] in ("?", left[0]) and match(rest[1:], left[1:])

    if "*" in pattern or "?" in pattern:
        assert matches_text(pattern, text) is match(pattern, text)


def test_many_stars_take_no_time() -> None:
    assert not matches_text("*a" * 500 + "b", "a" * 2000)


@given(st.text(max_size=60))
def test_any_text_can_be_expanded(text: str) -> None:
    assert "\n" not in expand(text.replace("\n", ""), Request("smtpd", Host("192.0.2.1", "a\nb")))
