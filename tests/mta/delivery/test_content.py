"""What becomes of a message on its way out: dots, long lines, 7-bit servers, generic addresses, header checks."""

from __future__ import annotations

import email
import email.policy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.address import AddressSearch, Domains
from mta.config import MainConfig
from mta.delivery.smtp.checks import checked, outbound_checks
from mta.delivery.smtp.content import dot_stuffed, folded
from mta.delivery.smtp.downgrade import downgraded
from mta.delivery.smtp.envelope import utf8_xtext, xtext
from mta.delivery.smtp.generic import GenericMaps, filled
from mta.smtpd.arguments import unxtext
from mta.tables import TableError, maps_of

# --- dots and lines ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "wire"),
    [
        (b"", b".\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"a\r\n.b\r\n..c\r\n", b"a\r\n..b\r\n...c\r\n.\r\n"),
        (b"a.b\r\n", b"a.b\r\n.\r\n"),
    ],
)
def test_dots(content: bytes, wire: bytes) -> None:
    assert dot_stuffed(content) == wire


LINES = st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\r", b"").replace(b"\n", b".")), max_size=10)


@given(LINES)
def test_a_strict_reader_gets_back_what_was_sent(lines: list[bytes]) -> None:
    content = b"".join(line + b"\r\n" for line in lines)
    wire = dot_stuffed(content)
    read = []
    received = wire.split(b"\r\n")
    for number, line in enumerate(received):
        if line == b".":
            assert received[number + 1 :] == [b""]
            break
        read.append(line.removeprefix(b".") if line.startswith(b".") else line)
    assert b"".join(line + b"\r\n" for line in read) == content


@given(LINES, st.integers(1, 30))
def test_folding_limits_and_loses_nothing(lines: list[bytes], limit: int) -> None:
    content = b"\r\n".join(line.replace(b" ", b"_") for line in lines)
    result = folded(content, limit)
    assert (result is content) == all(len(line) <= limit for line in content.split(b"\r\n"))
    assert all(len(line) <= limit + 1 for line in result.split(b"\r\n"))
    assert result.replace(b"\r\n ", b"") == content


# --- xtext ---------------------------------------------------------------------------------------------------------


@given(st.text(alphabet=st.characters(min_codepoint=1, max_codepoint=0x10FFFF, exclude_categories=["Cs"]), max_size=20))
def test_xtext_round_trip(text: str) -> None:
    encoded = xtext(text)
    assert all("!" <= char <= "~" for char in encoded)
    if text.isascii() and text.isprintable():
        assert unxtext(encoded) == text


def test_utf8_address() -> None:
    assert utf8_xtext("älice+x@fid.test") == r"\x{E4}lice\x{2B}x@fid.test"


# --- 7-bit servers -------------------------------------------------------------------------------------------------

SIMPLE = (
    "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    "Content-Transfer-Encoding: 8bit\r\n\r\nGröße = 5\r\nzwei \r\n"
).encode()


def test_a_simple_message() -> None:
    result = downgraded(SIMPLE)
    assert result.isascii()
    assert b"Content-Transfer-Encoding: quoted-printable\r\n" in result
    assert b"8bit" not in result
    assert result.endswith(b"\r\n\r\nGr=C3=B6=C3=9Fe =3D 5\r\nzwei=20\r\n")


def test_seven_bits_stay_as_they_are() -> None:
    content = SIMPLE.decode().replace("ö", "oe").replace("ß", "ss").encode()
    assert downgraded(content) is content


def test_undeclared_octets_are_not_touched() -> None:
    content = b"Subject: x\r\n\r\n\xff\r\n"
    assert downgraded(content) == content


MULTIPART = (
    'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b 1"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n'
    "preamble\r\n--b 1\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nöne\r\n"
    "--b 1\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    "Subject: inner\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nzwö\r\n"
    "--b 1\r\n\r\nplain\r\n--b 1--\r\nepilogue\r\n"
).encode()


def test_parts_within_parts() -> None:
    result = downgraded(MULTIPART)
    assert result.isascii()
    parsed = email.message_from_bytes(result, policy=email.policy.default)
    first, second, third = parsed.iter_parts()
    assert first.get_content() == "öne"
    assert second.get_content().get_content().strip() == "zwö"
    assert third.get_content() == "plain"
    assert parsed["Content-Transfer-Encoding"] == "7bit"
    assert b"preamble\r\n--b 1\r\n" in result and result.endswith(b"--b 1--\r\nepilogue\r\n")


@given(st.text(alphabet=st.characters(exclude_characters="\r", exclude_categories=["Cs"]), max_size=300))
def test_text_survives(text: str) -> None:
    header = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    body = text.replace("\n", "\r\n").encode() + b"\r\n"
    result = downgraded(header + body)
    assert result.isascii() or header + body == result
    assert email.message_from_bytes(result).get_payload(decode=True) == body


@given(st.binary(max_size=200), st.sampled_from([b"", b"b", b"a--", b"--"]))
def test_whatever_comes_in_something_comes_out(octets: bytes, boundary: bytes) -> None:
    head = b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n'
    assert isinstance(downgraded(head + octets), bytes)
    assert isinstance(downgraded(octets), bytes)


# --- generic maps and checks ---------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path):
    def make(**settings: str) -> MainConfig:
        main = {"myhostname": "host.local", "mydomain": "local", "myorigin": "host.local"} | settings
        (tmp_path / "main.cf").write_text("".join(f"{name} = {value}\n" for name, value in main.items()))
        return MainConfig.load(tmp_path)

    return make


def generic(config: MainConfig) -> GenericMaps:
    return GenericMaps(maps_of(config, "smtp_generic_maps"), AddressSearch(config, Domains(config)), propagate=True)


async def test_generic_addresses(config) -> None:
    table = 'inline:{root@host.local=admin@example.com, @host.local=site@example.com, {a@b.c="two words"@x.y}}'
    maps = generic(config(smtp_generic_maps=table, recipient_delimiter="+"))
    assert await maps.address("root@host.local") == "admin@example.com"
    assert await maps.address("root+x@host.local") == "admin+x@example.com"
    assert await maps.address("other@host.local") == "site@example.com"
    assert await maps.address("other@example.net") == "other@example.net"
    assert await maps.address("a@b.c") == "two words@x.y"
    content = (
        b"From: Root <root@host.local>\r\nTo: other@example.net, root@host.local (Me)\r\n"
        b"X-Other: root@host.local\r\n\r\nroot@host.local\r\n"
    )
    assert await maps.content(content) == (
        b"From: Root <admin@example.com>\r\nTo: other@example.net, admin@example.com (Me)\r\n"
        b"X-Other: root@host.local\r\n\r\nroot@host.local\r\n"
    )


async def test_nothing_to_map_changes_nothing(config) -> None:
    maps = generic(config(smtp_generic_maps="inline:{x@y=z@w}"))
    content = b"from:a@b ,\r\n c@d\r\n\r\n"
    assert await maps.content(content) is content


async def test_a_table_that_fails_is_no_answer(config, tmp_path) -> None:
    maps = generic(config(smtp_generic_maps=f"texthash:{tmp_path}/missing"))
    with pytest.raises(TableError):
        await maps.address("a@b")


def test_long_address_lists_are_filled() -> None:
    text = "To: " + ",\n".join(f"user{n}@example.com" for n in range(10))
    lines = filled(text).split("\r\n")
    assert all(len(line) <= 71 for line in lines)
    assert all(line.startswith("\t") for line in lines[1:])
    assert " ".join(line.strip() for line in lines) == text.replace("\n", " ")


async def test_header_checks_change_what_is_sent(config, tmp_path) -> None:
    (tmp_path / "checks").write_text("/^Subject: (.*)/ REPLACE Subject: [$1]\n/^X-Secret:/ IGNORE\n/^To: / REJECT no\n")
    checks = outbound_checks(config(smtp_header_checks=f"regexp:{tmp_path}/checks"), "smtp")
    assert checks is not None
    content = b"To: a@b\r\nSubject: hi\r\nX-Secret: 1\r\n 2\r\n\r\nSubject: body\r\n"
    assert await checked(checks, content, "ID") == b"To: a@b\r\nSubject: [hi]\r\n\r\nSubject: body\r\n"


def test_without_checks_there_is_nothing_to_do(config) -> None:
    assert outbound_checks(config(), "smtp") is None
    assert outbound_checks(config(), "lmtp") is None
