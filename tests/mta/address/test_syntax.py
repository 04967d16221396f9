"""Quoting, header lists, envelope arguments, host names, extensions."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.address import (
    AddressError,
    Extensions,
    address_list,
    extract_address,
    map_addresses,
    quote_821,
    quote_822,
    to_ascii,
    unquote_822,
    valid_hostaddr,
    valid_hostname,
    valid_mailhost_literal,
)
from mta.address.header import parse, write_header
from mta.address.tokens import TOKEN_LIMIT, scan

ADDRESS_TEXT = st.text(alphabet='ab@%!":,;<>()[]\\. \t\nü\x00', max_size=40)


@pytest.mark.parametrize(
    ("internal", "external"),
    [
        ("a@b", "a@b"),
        ("first last@b", '"first last"@b'),
        ('a"b@c', '"a\\"b"@c'),
        ("a\\b@c", '"a\\\\b"@c'),
        ("a@b@c", '"a@b"@c'),
        ("@b", '""@b'),
        ("a..b@c", '"a..b"@c'),
        (".a@c", '".a"@c'),
        ("a.@c", '"a."@c'),
        ("ü@c", "ü@c"),
        ("a", "a"),
        ("a b", '"a b"'),
    ],
)
def test_quoting(internal: str, external: str) -> None:
    assert quote_821(internal) == external
    assert quote_822(internal) == external
    assert unquote_822(external) == internal


def test_line_breaks_cannot_leave_a_quoted_local_part_bare() -> None:
    assert quote_821("a\r\nb@c") == '"a\\\r\\\nb"@c'


@given(st.text(max_size=30), st.sampled_from(["example.com", "[127.0.0.1]", "b"]))
def test_quoting_can_be_undone(local: str, domain: str) -> None:
    address = f"{local}@{domain}"
    if not address.startswith("@") and ":" not in local:
        assert unquote_822(quote_822(address)) == address


@pytest.mark.parametrize(
    ("argument", "address"),
    [
        ("<a@b>", "a@b"),
        ("a@b>", "a@b"),
        ("<<a@b>>", "a@b"),
        ("<@r:a@b>", "a@b"),
        ("<@r,@s:a@b>", "a@b"),
        ('<"a b"@c>', "a b@c"),
        ("x <a@b>", "a@b"),
        ("(c) a@b", "a@b"),
        ("<a @ b>", "a@b"),
        ("<>", ""),
        ("", ""),
        ('<"a@b"@c>', "a@b@c"),
    ],
)
def test_envelope_arguments(argument: str, address: str) -> None:
    assert extract_address(argument, allow_empty=True) == address


@pytest.mark.parametrize("argument", ["<a b@c>", "<a@b> <c@d>", "a,b@c", "<a@b>c@d", "x" * 20_000])
def test_more_than_one_address_is_none(argument: str) -> None:
    with pytest.raises(AddressError):
        extract_address(argument)


@pytest.mark.parametrize("argument", ["a@b", "x <a@b>", "<a@b> (c)", "<a@b>;"])
def test_strict_envelopes(argument: str) -> None:
    with pytest.raises(AddressError):
        extract_address(argument, strict=True)
    assert extract_address("<a@b>", strict=True) == "a@b"


def test_an_empty_address_is_only_for_those_who_ask() -> None:
    with pytest.raises(AddressError, match="empty"):
        extract_address("<>")


@pytest.mark.parametrize(
    ("header", "addresses"),
    [
        ("a@b, c@d", ["a@b", "c@d"]),
        ('Joe <a@b>, "x, y" <c@d>', ["a@b", "c@d"]),
        ("list: a@b, c@d;, e@f", ["a@b", "c@d", "e@f"]),
        ("list:;", []),
        ("a@b c@d", ["a@b", "c@d"]),
        ("(comment) a@b (more)", ["a@b"]),
        ("Joe Doe", ["Joe", "Doe"]),
        ("<a@b> <c@d>", ["a@b", "c@d"]),
        ("", []),
    ],
)
def test_header_lists(header: str, addresses: list[str]) -> None:
    assert address_list(header) == addresses


def test_header_rewriting_keeps_phrases_comments_and_groups() -> None:
    text = 'Joe (x) <a@b>, grp: "q d" <c@d>, e@f;, x@y (last)'
    assert map_addresses(text, str.upper).split(",\n") == [
        "Joe (x) <A@B>",
        'grp: "q d" <C@D>',
        "E@F;",
        "X@Y (last)",
    ]
    assert map_addresses("<>", str.upper) == "<>"
    assert map_addresses("a@b", lambda address: f"first last {address}") == '"first last a"@b'


def test_too_much_text_around_an_address_is_dropped() -> None:
    assert write_header(parse(f"{'x ' * 200}<a@b>, c@d")) == "<a@b>,\nc@d"


def test_tokens_are_bounded() -> None:
    assert len(scan("," * 100_000)) == TOKEN_LIMIT


@given(ADDRESS_TEXT)
def test_any_text_is_parsed(text: str) -> None:
    for end in range(len(text) + 1):
        address_list(text[:end])
        map_addresses(text[:end], lambda address: address)
        unquote_822(quote_822(text[:end]))
        for strict in (False, True):
            with suppress(AddressError):
                extract_address(text[:end], strict=strict, allow_empty=True)


@pytest.mark.parametrize("name", ["a", "a.b", "a_b.c", "1a", "x" * 63, "xn--nxasmq6b", "a-b.c", "1.2.c"])
def test_valid_hostnames(name: str) -> None:
    assert valid_hostname(name)


@pytest.mark.parametrize(
    "name", ["", ".", "a.", ".a", "a..b", "-a", "a-", "a.-b", "1.2.3.4", "127", "x" * 64, "x." * 128 + "y", "a b", "ü"]
)
def test_invalid_hostnames(name: str) -> None:
    assert not valid_hostname(name)


def test_international_names() -> None:
    assert valid_hostname("exämple.com", utf8=True)
    assert to_ascii("exämple.com") == "xn--exmple-cua.com"
    assert not valid_hostname("\udcff.com", utf8=True)


def test_addresses_and_literals() -> None:
    assert valid_hostaddr("127.0.0.1")
    assert valid_hostaddr("::1")
    assert not valid_hostaddr("fe80::1%lo")
    assert not valid_hostaddr("127.1")
    assert valid_mailhost_literal("[127.0.0.1]")
    assert valid_mailhost_literal("[IPv6:::1]")
    for text in ("[::1]", "[127.0.0.1", "127.0.0.1]", "[127.0.0.1]x", "[]", "[IPv6:1.2.3.4]"):
        assert not valid_mailhost_literal(text)


@given(st.text(max_size=40))
def test_host_checks_never_fail(text: str) -> None:
    valid_hostname(text, utf8=True)
    valid_hostaddr(text)
    valid_mailhost_literal(text)


@pytest.mark.parametrize(
    ("delimiters", "local", "parts"),
    [
        ("+", "user+ext", ("user", "+ext")),
        ("+", "user+a+b", ("user", "+a+b")),
        ("+-", "user-a+b", ("user", "-a+b")),
        ("+", "user", ("user", "")),
        ("+", "+user", ("+user", "")),
        ("+", "user+", ("user", "+")),
        ("", "user+ext", ("user+ext", "")),
        ("-", "owner-list", ("owner-list", "")),
        ("-", "list-request", ("list-request", "")),
        ("-", "a-b", ("a", "-b")),
        ("-", "Mailer-Daemon", ("Mailer-Daemon", "")),
        ("o", "postmaster", ("postmaster", "")),
        ("-", "double-bounce", ("double-bounce", "")),
    ],
)
def test_extensions(delimiters: str, local: str, parts: tuple[str, str]) -> None:
    assert Extensions(delimiters).split_local(local) == parts
    assert Extensions(delimiters).split(f"{local}@d") == (f"{parts[0]}@d", parts[1])
