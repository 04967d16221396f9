"""`$name` expansion."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.config.expand import ExpandError, compatibility_level, expand, references

VALUES = {
    "name": "value",
    "empty": "",
    "two": "$name$name",
    "loop": "a $loop2",
    "loop2": "b $loop",
    "number": "10",
    "level": "3.6",
    "braces": "{x}",
}


def value(text: str) -> str:
    return expand(text, VALUES.get)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$name", "value"),
        ("${name}", "value"),
        ("$(name)", "value"),
        ("$name.x", "value.x"),
        ("$two", "valuevalue"),
        ("$nothing", ""),
        ("$$name", "$name"),
        ("$$$name", "$value"),
        ("${name?yes}", "yes"),
        ("${empty?yes}", ""),
        ("${nothing?yes}", ""),
        ("${name:no}", ""),
        ("${empty:no}", "no"),
        ("${nothing:$name}", "value"),
        ("${name?{yes}:{no}}", "yes"),
        ("${empty?{yes}:{no}}", "no"),
        ("${empty? {yes} : {no} }", "no"),
        ("${name?a:b}", "a:b"),
        ("${name??x}", "?x"),
        ("${nothing:{a b}}", "a b"),
        ("${{$name} == {value} ? {same} : {other}}", "same"),
        ("${{$name} != {value} ? {same} : {other}}", "other"),
        ("${{9} < {10} ? {number} : {text}}", "number"),
        ("${{9} < {10x} ? {number} : {text}}", "text"),
        ("${{$number} >= {010}}", "true"),
        ("${{a} == {b}}", ""),
        ("${{a} == {b}:no}", "no"),
        ("${{$level} <level {3.10} ? {older} : {newer}}", "older"),
        ("${{$level} >=level {3.6.0} ? {yes} : {no}}", "yes"),
        ("${ name }", "value"),
        ("${name ?x}", "x"),
    ],
)
def test_expansion(text: str, expected: str) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("$", "empty macro name"),
        ("${}", "empty macro name"),
        ("${name", "truncated macro reference"),
        ("$(name", "truncated macro reference"),
        ("$loop", "unreasonable macro call nesting"),
        ("${na-me}", "attribute name syntax error"),
        ("${{a} = {b}?{c}}", "expected at"),
        ("${{a} == b ? {c}}", "expression"),
        ("${{a} ==foo {b} ? {c}}", "bad operator suffix"),
        ("${{a} == {b} x}", "expected at"),
        ("${name?{a} b}", "expected at"),
        ("${name:{a} b}", "unexpected input"),
        ("${{a} <level {b} ? {c}}", "malformed compatibility level"),
    ],
)
def test_mistakes(text: str, complaint: str) -> None:
    with pytest.raises(ExpandError, match=complaint):
        value(text)


def test_without_recursion_values_are_copied_and_filtered() -> None:
    assert expand("${two}", VALUES.get, recurse=False) == "$name$name"
    assert expand("${two}", VALUES.get, recurse=False, allowed="name") == "_name_name"
    assert expand("$name!", VALUES.get, recurse=False, allowed="v") == "v____!"


def test_references_finds_names_in_both_branches() -> None:
    found = references("$a ${b?$c} ${d:{$e}} ${f?{$g}:{$h}} ${{$i} == {$j} ? {$k} : {$l}} $$m")
    assert found == list("abcdefghijkl")


def test_a_value_that_doubles_itself_is_stopped() -> None:
    values = {f"v{i}": f"$v{i + 1}$v{i + 1}" for i in range(90)} | {"v90": "x"}
    with pytest.raises(ExpandError):
        expand("$v0", values.get)
    values["v90"] = ""
    with pytest.raises(ExpandError):
        expand("$v0", values.get)


@pytest.mark.parametrize("text", ["", "a", "1.", "1.2.3.4", "1.1024", "1.2.2000", "-1", "1" * 20, "١"])
def test_bad_levels(text: str) -> None:
    with pytest.raises(ExpandError):
        compatibility_level(text)


@given(st.text(alphabet="${}()?:=<>!ab1 \t", max_size=40))
def test_only_the_typed_error_escapes(text: str) -> None:
    for end in range(len(text) + 1):
        try:
            expand(text[:end], {"a": "$b", "b": "1", "ab": text}.get)
            references(text[:end])
        except ExpandError:
            pass


@given(st.text(max_size=60))
def test_text_with_doubled_dollars_stands_for_itself(text: str) -> None:
    assert value(text.replace("$", "$$")) == text
