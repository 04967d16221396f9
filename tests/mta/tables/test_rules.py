"""cidr:, regexp: and pcre: tables."""

import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.tables import SpecError, Table, TableError, open_table
from mta.tables.cidr import parse_network
from mta.tables.pattern import PatternError, compile_extended, compile_perl
from tests import peers

MakeTable = Callable[..., Table]

CIDR = """10.0.0.0/8 ten
!192.168.0.0/16 not192
if 192.168.0.0/16
192.168.1.0/24  one
if !192.168.2.0/24
192.168.3.3 three
endif
192.168.2.7  two seven
endif
192.168.1.5/24 host bits
1.2.3.4/33 mask
300.1.1.1 bad
10.1.1.1
[2001:db8::]/32 v6b
2001:db8:1::/48 v6
::ffff:1.2.3.4 mapped
endif
"""
CIDR_ANSWERS = {
    "10.1.2.3": "ten",
    "192.168.1.9": "one",
    "192.168.2.7": "two seven",
    "192.168.3.3": "three",
    "192.168.4.4": None,
    "8.8.8.8": "not192",
    "2001:db8:1:0:0:0:0:1": "v6b",
    "::ffff:102:304": "mapped",
    "10.1": None,
    "010.1.1.1": None,
    "name": None,
    "": None,
}
PATTERNS = """/^[a-c]+\\.$/ r1
/^\\.\\*$/ r2
/^a{2,3}$/ r3
/^(x)(y)?(z)$/ r4 $3$2$1 ${1}x $(3) $$5
/^[]x]+$/ r5
/^[^]x]y$/ r6
/^[[:alpha:]_-]+[[:space:]][[:xdigit:]]+$/ r7
/^foo\\/bar$/ r8
|^pipe\\|d$| r9
/^dollar\\$$/ r13
/^w\\w+\\W$/ r16
/^((m)|(n))+q$/ r19 $1 $2 $3
!/./ empty
if /^if/
if !/not$/
/yes/ both
endif
/not/ only first
endif
/^caseS$/i Case
/unclosed
/$1/ $2
!/a/ $1
word
"""
PATTERN_ANSWERS = {
    "ABC.": "r1",
    ".*": "r2",
    "aaa": "r3",
    "aaaa": None,
    "xyz": "r4 zyx xx z $5",
    "xz": "r4 zx xx z $5",
    "]x]": "r5",
    "zy": "r6",
    "ab_ 0f": "r7",
    "foo/bar": "r8",
    "pipe|d": "r9",
    "dollar$": "r13",
    "waa!": "r16",
    "mnq": "r19 n  n",
    "if yes": "both",
    "if not": "only first",
    "yes": None,
    "caseS": "Case",
    "cases": None,
}


async def test_cidr(table: MakeTable, caplog: pytest.LogCaptureFixture) -> None:
    found = table("cidr", CIDR)
    assert {key: await found.lookup(key) for key in CIDR_ANSWERS} == CIDR_ANSWERS
    assert not found.exact
    for complaint in (
        'line 10: non-null host address bits in "192.168.1.5/24", perhaps you should use "192.168.1.0/24" instead',
        'line 11: bad mask length in "1.2.3.4/33"',
        'line 12: bad address pattern: "300.1.1.1"',
        "line 13: no lookup result",
        "line 17: ENDIF without IF",
    ):
        assert complaint in caplog.text


@pytest.mark.parametrize("kind", ["regexp", "pcre"])
async def test_patterns(kind: str, table: MakeTable, caplog: pytest.LogCaptureFixture) -> None:
    found = table(kind, PATTERNS)
    # PCRE remembers the last time round a repeated group, as Python does; POSIX forgets the branch not taken.
    answers = {key: value for key, value in PATTERN_ANSWERS.items() if key != "mnq"}
    assert {key: await found.lookup(key) for key in answers} == answers
    assert not found.exact
    assert 'no closing regexp delimiter "/"' in caplog.text
    assert 'out of range replacement index "2"' in caplog.text
    assert "$number found in negative match replacement text" in caplog.text


@pytest.mark.interop
@pytest.mark.needs("postmap", "postfix")
@pytest.mark.parametrize(
    ("kind", "text", "answers"),
    [("cidr", CIDR, CIDR_ANSWERS), ("regexp", PATTERNS, {**PATTERN_ANSWERS}), ("pcre", PATTERNS, {**PATTERN_ANSWERS})],
)
async def test_real_postmap_answers_the_same(
    kind: str, text: str, answers: dict[str, str | None], table: MakeTable, tmp_path: Path
) -> None:
    found = table(kind, text)
    (tmp_path / "main.cf").write_text("")
    peers.age(tmp_path / "main.cf")
    keys = [key for key in answers if key and key != "mnq"]
    real = subprocess.run(
        ["postmap", "-c", tmp_path, "-q", "-", f"{kind}:{tmp_path / kind}"],
        input="\n".join(keys) + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    expected = dict(line.split("\t", 1) for line in real.stdout.splitlines())
    assert {key: await found.lookup(key) for key in keys} == {key: expected.get(key) for key in keys}


async def test_dollar_in_posix_patterns_means_the_very_end() -> None:
    posix = open_table("regexp:{{/x$/ end}}")
    perl = open_table("pcre:{{/x$/ end}, {/y$/E end}}")
    assert [await posix.lookup(key) for key in ("x", "x\n", "x\ny")] == ["end", None, None]
    assert [await perl.lookup(key) for key in ("x", "x\n", "y\n", "y")] == ["end", "end", None, "end"]


async def test_newlines_and_flags() -> None:
    posix = open_table("regexp:{{/a.b/ dot}, {/^c$/m line}, {/d.e/m never}}")
    assert [await posix.lookup(key) for key in ("a\nb", "x\nc\ny", "d\ne")] == ["dot", "line", None]
    perl = open_table("pcre:{{/a.b/s nodot}, {/^c$/m line}, {/q w/x ext}, {/r+(r*)/U [$1]}, {/tail/A start}}")
    assert [await perl.lookup(key) for key in ("a\nb", "x\nc\ny", "qw", "rrr", "tails", "a tail")] == [
        None,
        "line",
        "ext",
        "[]",
        "start",
        None,
    ]


async def test_inline_rules_and_perl_escapes() -> None:
    found = open_table(r"pcre:{{/^\Qa.b\E\h+(\w+)$/ got $1}, {/^z\z/ end}, {/[[:<:]]w[[:>:]]/ word}}")
    assert [await found.lookup(key) for key in ("a.b\t zz", "axb zz", "z", "z\n", "a w b")] == [
        "got zz",
        None,
        "end",
        None,
        "word",
    ]


async def test_doubled_characters_in_brackets_are_ordinary() -> None:
    found = open_table("regexp:{{/^[+--]$/ range}, {/^[a&&b]$/ and}, {/^[[x]$/ bracket}, {/^[c||d]$/ or}}")
    asked = ["+", ",", "-", "&", "b", "[", "x", "|", "~"]
    assert [await found.lookup(key) for key in asked] == [
        "range",
        "range",
        "range",
        "and",
        "and",
        "bracket",
        "bracket",
        "or",
        None,
    ]


@pytest.mark.parametrize("spec", ["cidr:", "regexp:", "pcre:", "cidr:{{1.2.3.4 x}", "regexp:{{/a/ b} x"])
def test_bad_specifications(spec: str) -> None:
    with pytest.raises(SpecError):
        open_table(spec)


async def test_a_missing_file_is_temporary() -> None:
    with pytest.raises(TableError):
        await open_table("cidr:/nonexistent/file").lookup("1.2.3.4")


@given(st.text(alphabet=r"ab[]^$.*+?(){}|\:<>1,-/!i ", max_size=25))
def test_any_pattern_compiles_or_is_refused(pattern: str) -> None:
    for compile_one in (
        lambda: compile_extended(pattern, ignore_case=True, newline=False),
        lambda: compile_extended(pattern, ignore_case=False, newline=True, basic=True),
        lambda: compile_perl(pattern, "isU"),
    ):
        with suppress(PatternError):
            compile_one().search("abab")


@given(st.text(alphabet="if/endif !1.0:[]{}\n$a", max_size=60))
async def test_any_rule_text_makes_a_table(text: str) -> None:
    for kind in ("cidr", "regexp", "pcre"):
        try:
            found = open_table(f"{kind}:{{{text}}}")
        except SpecError:
            continue
        await found.lookup("1.0.0.1")


@given(st.text(alphabet="0123456789abcdef.:/[]x", max_size=30))
def test_networks_are_read_or_refused(text: str) -> None:
    with suppress(ValueError):
        parse_network(text)


@pytest.mark.parametrize(
    ("pattern", "matches", "fails"),
    [
        ("^(?<user>a+)@(?'host'b)$", "aa@b", "aa@c"),
        ("(?<=x)a(?<!ya)", "xa", "ya"),
        ("(?i)abc", "ABC", "ab"),
        ("^(?i)abc$", "aBC", "xabc"),
        ("a(?:(?i)b|c)d", "aCd", "ACd"),
        ("a(?i)b", "aB", "AB"),
        ("(?i)a|b", "B", "c"),
        ("(?-i)a", "a", "A"),
    ],
)
def test_perl_groups_with_names_and_options(pattern: str, matches: str, fails: str) -> None:
    compiled = compile_perl(pattern, "")
    assert compiled.search(matches)
    assert not compiled.search(fails)


def test_options_within_an_alternative_are_refused() -> None:
    with pytest.raises(PatternError, match="options"):
        compile_perl("a(?i)b|c", "")
