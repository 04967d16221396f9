"""Where a header ends, what its fields are, and what is added to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.message.headers import field, join, quote_mailbox_lines, split
from mta.message.missing import Completion, missing_headers
from mta.message.received import Trace, local_received_header, mail_date, received_header


@pytest.mark.parametrize(
    ("content", "names", "rest"),
    [
        (b"", [], b""),
        (b"\r\nbody\r\n", [], b"\r\nbody\r\n"),
        (b"Subject: x\r\n", [b"subject"], b""),
        (b"Subject: x\r\n\r\n", [b"subject"], b"\r\n"),
        (b"A: 1\r\n\tfolded\r\nB : 2\r\n\r\nx\r\n", [b"a", b"b"], b"\r\nx\r\n"),
        (b"no header at all\r\nSubject: body\r\n", [], b"\r\nno header at all\r\nSubject: body\r\n"),
        (b"A: 1\r\nbroken\r\nB: 2\r\n", [b"a"], b"\r\nbroken\r\nB: 2\r\n"),
        (b" leading: blank\r\n", [], b"\r\n leading: blank\r\n"),
        (b": no name\r\n", [], b"\r\n: no name\r\n"),
    ],
)
def test_split(content: bytes, names: list[bytes], rest: bytes) -> None:
    fields, found_rest = split(content)
    assert ([each.name for each in fields], found_rest) == (names, rest)


def test_values_are_unfolded_and_texts_are_not() -> None:
    (each,), _ = split(b"Subject: one\r\n two\r\n")
    assert each.value == b"one two"
    assert each.text == "Subject: one\n two"


def test_blanks_before_the_colon_are_taken_out() -> None:
    (each,), _ = split(b"Subject \t: one\r\n")
    assert each.octets == b"Subject: one\r\n"


def test_mbox_separators_are_kept_as_fields() -> None:
    assert quote_mailbox_lines(b"From a b\r\n>From c\r\nSubject: x\r\n") == (
        b"X-Mailbox-Line: From a b\r\nX-Mailbox-Line: >From c\r\nSubject: x\r\n"
    )
    assert quote_mailbox_lines(b"Subject: x\r\nFrom me\r\n") == b"Subject: x\r\nFrom me\r\n"


@given(
    st.lists(st.sampled_from([b"A: x\r\n", b" fold\r\n", b"\r\n", b"text\r\n", b"B:\r\n", b":\r\n", b"\xff: y\r\n"]))
)
def test_nothing_is_lost_or_reordered(lines: list[bytes]) -> None:
    content = b"".join(lines)
    fields, rest = split(content)
    header = b"".join(each.octets for each in fields)
    assert content in (header + rest, header + rest.removeprefix(b"\r\n"))
    assert split(join(fields, rest)) == (fields, rest or b"\r\n")


NOON = 1_800_000_000.0
HEADERS = Completion("mx.example.com")


def names_of(seen: set[bytes], completion: Completion = HEADERS, **options: str) -> list[bytes]:
    added = missing_headers(
        seen, completion, options.get("sender", "a@b.example"), options.get("fullname", ""), "QID", NOON
    )
    return [each.octets for each in added]


def test_what_is_missing_is_added() -> None:
    identity, date, sender = names_of({b"subject"})
    assert identity == b"Message-Id: <20270115080000.QID@mx.example.com>\r\n"
    assert date.startswith(b"Date: Fri, 15 Jan 2027 ")
    assert sender == b"From: a@b.example\r\n"
    assert names_of({b"message-id", b"date", b"from"}) == []
    assert names_of({b"message-id", b"date"}, fullname="A. Person") == [b'From: "A. Person" <a@b.example>\r\n']
    assert names_of({b"message-id", b"date"}, sender="") == [b"From: MAILER-DAEMON\r\n"]
    undisclosed = Completion("mx", True, "To: undisclosed-recipients:;")
    assert names_of({b"from", b"date"}, undisclosed) == [
        b"Message-Id: <QID@mx>\r\n",
        b"To: undisclosed-recipients:;\r\n",
    ]
    assert [octets.partition(b":")[0] for octets in names_of({b"from", b"message-id", b"date", b"resent-to"})] == [
        b"Resent-Message-Id",
        b"Resent-Date",
        b"Resent-From",
    ]


def trace(**changes: object) -> Trace:
    values: dict[str, object] = {
        "helo": "client.example.org", "name": "host.example.org", "address": "192.0.2.1", "by": "mx.example.com",
        "mail_name": "Postfix", "protocol": "ESMTP", "queue_id": "ABC", "recipient": "x@example.com",
    }  # fmt: skip
    return Trace(**{**values, **changes})  # type: ignore[arg-type]


def test_received_for_one_recipient() -> None:
    assert received_header(trace(), NOON).decode() == (
        "Received: from client.example.org (host.example.org [192.0.2.1])\r\n"
        "\tby mx.example.com (Postfix) with ESMTP id ABC\r\n"
        f"\tfor <x@example.com>; {mail_date(NOON)}\r\n"
    )


def test_received_for_several_names_none() -> None:
    octets = received_header(trace(recipient=""), NOON)
    assert octets.endswith(f"id ABC;\r\n\t{mail_date(NOON)}\r\n".encode())


def test_received_with_tls_and_login() -> None:
    lines = ["(using TLSv1.3 with cipher X (256/256 bits))", "(No client certificate requested)"]
    octets = received_header(trace(tls=lines, authenticated="al(ice)\n", protocol="ESMTPSA"), NOON)
    assert octets.split(b"\r\n")[1:5] == [
        b"\t(using TLSv1.3 with cipher X (256/256 bits))",
        b"\t(No client certificate requested)",
        b"\t(Authenticated sender: al?ice??)",
        b"\tby mx.example.com (Postfix) with ESMTPSA id ABC",
    ]


def test_received_of_local_mail() -> None:
    octets = local_received_header("mx.example.com", "Postfix", "ABC", 1000, NOON)
    assert (
        octets == f"Received: by mx.example.com (Postfix, from userid 1000)\r\n\tid ABC; {mail_date(NOON)}\r\n".encode()
    )


def test_new_fields_may_be_folded() -> None:
    assert field("X-Y", "one\n two").octets == b"X-Y: one\r\n two\r\n"
