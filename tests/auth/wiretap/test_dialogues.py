"""What a watcher may read: whole dialogues, cut anywhere; secrets and mails never; any octets without an exception."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.wiretap.dialogues import DIALOGUES, LONGEST, SHOWN, Dialogue

SECRET = "c2VjcmV0"

# protocol, then what is said (C or S, octets) and what a watcher reads.
CASES = {
    "smtp": (
        "smtp",
        [
            ("S", b"220 a ESMTP\r\n"),
            ("C", b"EHLO x\r\n"),
            ("S", b"250-a\r\n250 AUTH PLAIN\r\n"),
            ("C", b"AUTH PLAIN " + SECRET.encode() + b"\r\n"),
            ("S", b"235 2.7.0 ok\r\n"),
            ("C", b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"),
            ("S", b"250 ok\r\n250 ok\r\n354 go\r\n"),
            ("C", b"Subject: c2VjcmV0\r\n\r\n..\r\n.\r\nQUIT\r\n"),
            ("S", b"250 queued\r\n221 bye\r\n"),
        ],
        [
            "S 220 a ESMTP", "C EHLO x", "S 250-a", "S 250 AUTH PLAIN", "C AUTH PLAIN <secret>", "S 235 2.7.0 ok",
            "C MAIL FROM:<a@b>", "C RCPT TO:<c@d>", "C DATA", "S 250 ok", "S 250 ok", "S 354 go", "C <28 octets>",
            "C QUIT", "S 250 queued", "S 221 bye",
        ],
    ),
    "an exchange, pipelined behind EHLO": (
        "smtp",
        [
            ("S", b"220 a\r\n"),
            ("C", b"EHLO x\r\nAUTH LOGIN\r\n"),
            ("S", b"250 a\r\n"),
            ("C", b"c2VjcmV0\r\n"),
            ("S", b"334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n"),
            ("C", b"c2VjcmV0\r\n"),
            ("S", b"535 no\r\n"),
            ("C", b"NOOP\r\n"),
        ],
        [
            "S 220 a", "C EHLO x", "C AUTH LOGIN", "S 250 a", "C <secret>", "S 334 <secret>", "S 334 <secret>",
            "C <secret>", "S 535 no", "C NOOP",
        ],
    ),
    "secrets behind a refused AUTH, and as a slip": (
        "smtp",
        [
            ("S", b"220 a\r\n"),
            ("C", b"AUTH LOGIN\r\n"),
            ("S", b"503 no\r\n"),
            ("C", b"c2VjcmV0\r\n"),
            ("S", b"500 what\r\n"),
            ("C", b"AUHT PLAIN c2VjcmV0\r\n"),
            ("S", b"500 what\r\n"),
            ("C", b"AUTH\tPLAIN\tc2VjcmV0\r\n"),
        ],
        [
            "S 220 a", "C AUTH LOGIN", "S 503 no", "C <8 octets>", "S 500 what", "C <19 octets>", "S 500 what",
            "C AUTH PLAIN <secret>",
        ],
    ),
    "chunks": (
        "smtp",
        [
            ("S", b"220 a\r\n"),
            ("C", b"BDAT 10\r\nc2VjcmV0\r\nBDAT 0 LAST\r\nRSET\r\n"),
            ("S", b"250 ok\r\n250 ok\r\n250 ok\r\n"),
        ],
        ["S 220 a", "C BDAT 10", "C <10 octets>", "C BDAT 0 LAST", "C RSET", "S 250 ok", "S 250 ok", "S 250 ok"],
    ),
    "in the midst of a mail": (
        "smtp",
        [("C", b"c2VjcmV0\r\n.\r\n"), ("S", b"250 queued\r\n"), ("C", b"QUIT\r\n")],
        ["C <secret>", "C <secret>", "S 250 queued", "C QUIT"],
    ),
    "injected behind STARTTLS": (
        "smtp",
        [
            ("S", b"220 a\r\n"),
            ("C", b"STARTTLS\r\nRSET\r\n"),
            ("S", b"220 go\r\n"),
            ("C", b"EHLO x\r\n"),
            ("S", b"250 a\r\n"),
        ],
        ["S 220 a", "C STARTTLS", "C RSET", "S 220 go", "C EHLO x", "S 250 a"],
    ),
    "pop3": (
        "pop3",
        [
            ("S", b"+OK hi <1.2@x>\r\n"),
            ("C", b"USER alice\r\n"),
            ("S", b"+OK\r\n"),
            ("C", b"PASS c2VjcmV0 and more\r\n"),
            ("S", b"+OK in\r\n"),
            ("C", b"RETR 1\r\n"),
            ("S", b"+OK 30 octets\r\nSubject: c2VjcmV0\r\n\r\n.\r\n"),
            ("C", b"APOP alice c2VjcmV0\r\nAUTH PLAIN\r\n"),
            ("S", b"-ERR\r\n+ \r\n"),
            ("C", b"c2VjcmV0\r\n"),
            ("S", b"-ERR no\r\n"),
            ("C", b"c2VjcmV0\r\nQUIT\r\n"),
        ],
        [
            "S +OK hi <1.2@x>", "C USER alice", "S +OK", "C PASS <secret>", "S +OK in", "C RETR 1", "S +OK 30 octets",
            "S <24 octets>", "C APOP alice <secret>", "C AUTH PLAIN", "S -ERR", "S + <secret>", "C <secret>",
            "S -ERR no", "C <8 octets>", "C QUIT",
        ],
    ),
    "imap": (
        "imap",
        [
            ("S", b"* OK hi\r\n"),
            ("C", b"a CAPABILITY\r\n"),
            ("S", b"* CAPABILITY IMAP4rev1\r\na OK\r\n"),
            ("C", b"b LOGIN alice c2VjcmV0\r\nc LOGIN {5+}\r\nalice {8+}\r\nc2VjcmV0\r\n"),
            ("S", b"b NO\r\nc NO\r\n"),
            ("C", b'd LOGIN "al ice" c2VjcmV0\r\n'),
            ("S", b"d NO\r\n"),
            ("C", b"e AUTHENTICATE PLAIN c2VjcmV0\r\n"),
            ("S", b"e NO\r\n"),
            ("C", b"f NOOP\r\ng AUTHENTICATE PLAIN\r\n"),
            ("S", b"f OK\r\n+ \r\n"),
            ("C", b"c2VjcmV0\r\n"),
            ("S", b"g NO\r\n"),
            ("C", b"h LOGNI alice c2VjcmV0\r\nc2VjcmV0\r\n"),
        ],
        [
            "S * OK hi", "C a CAPABILITY", "S * CAPABILITY IMAP4rev1", "S a OK", "C b LOGIN alice <secret>",
            "C c LOGIN <secret>", "C <5 octets>", "C <secret>", "C <8 octets>", "C ", "S b NO", "S c NO",
            "C d LOGIN <secret>", "S d NO", "C e AUTHENTICATE PLAIN <secret>", "S e NO", "C f NOOP",
            "C g AUTHENTICATE PLAIN", "S f OK", "S + <secret>", "C <secret>", "S g NO", "C <22 octets>", "C <8 octets>",
        ],
    ),
    "auth": (
        "auth",
        [
            ("S", b"VERSION\t1\t2\nCOOKIE\tc2VjcmV0\nDONE\n"),
            ("C", b"AUTH\t1\tPLAIN\tservice=smtp\tresp=c2VjcmV0\nCONT\t1\tc2VjcmV0\nREQUEST\t1\t2\t3\tc2VjcmV0\n"),
            ("S", b"OK\t1\tuser=alice\tpass=c2VjcmV0\tuserdb_master_password=c2VjcmV0\tuid=5\nCONT\t1\tc2VjcmV0\n"),
        ],
        [
            "S VERSION 1 2", "S COOKIE <secret>", "S DONE", "C AUTH 1 PLAIN service=smtp resp=<secret>",
            "C CONT 1 <secret>", "C REQUEST 1 2 3 <secret>",
            "S OK 1 user=alice pass=<secret> userdb_master_password=<secret> uid=5", "S CONT 1 <secret>",
        ],
    ),
}  # fmt: skip


def read(dialogue: Dialogue, said: list[tuple[str, bytes]]) -> list[str]:
    lines = []
    for side, octets in said:
        lines += dialogue.client(octets) if side == "C" else dialogue.server(octets)
    return [f"{side} {text}" for side, text in lines]


@pytest.mark.parametrize("case", CASES)
def test_dialogue(case: str) -> None:
    protocol, said, wanted = CASES[case]
    assert read(DIALOGUES[protocol](), said) == wanted
    assert SECRET not in "".join(wanted)


@pytest.mark.parametrize("case", CASES)
def test_dialogue_octet_by_octet(case: str) -> None:
    protocol, said, wanted = CASES[case]
    one_by_one = [(side, octets[at : at + 1]) for side, octets in said for at in range(len(octets))]
    assert read(DIALOGUES[protocol](), one_by_one) == wanted


@pytest.mark.parametrize("case", CASES)
def test_no_secret_wherever_the_watcher_comes_in(case: str) -> None:
    protocol, said, _ = CASES[case]
    for start in range(len(said)):
        assert SECRET not in "".join(read(DIALOGUES[protocol](), said[start:])).replace("S 250 ok", "")


def test_after_log_in_imap_is_shown_but_for_literals() -> None:
    dialogue = DIALOGUES["imap"]()
    dialogue.server(b"* OK hi\r\n")
    dialogue.logged_in = True
    assert read(dialogue, [
        ("C", b"a APPEND INBOX {10}\r\n"), ("S", b"+ go\r\n"), ("C", b"Subject: x\r\n"), ("S", b"a OK\r\n"),
        ("C", b"b FETCH 1 BODY[]\r\n"), ("S", b"* 1 FETCH (BODY[] {4}\r\nx\r\ny)\r\nb OK\r\n"),
        ("C", b"c APPEND INBOX {99999}\r\n"), ("S", b"c NO\r\n"), ("C", b"d NOOP\r\n"),
        ("C", b"e LOGIN alice c2VjcmV0\r\n"),
    ]) == [
        "C a APPEND INBOX {10}", "S + go", "C <10 octets>", "C ", "S a OK", "C b FETCH 1 BODY[]",
        "S * 1 FETCH (BODY[] {4}", "S <4 octets>", "S )", "S b OK", "C c APPEND INBOX {99999}", "S c NO", "C d NOOP",
        "C e LOGIN alice <secret>",
    ]  # fmt: skip


@pytest.mark.parametrize("protocol", DIALOGUES)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("CS"),
            st.one_of(
                st.binary(max_size=60),
                st.sampled_from(
                    [b"DATA\r\n", b"354 x\r\n", b"250 x\r\n", b"BDAT 9999999999\r\n", b"a X {9999999999+}\r\n", b"\r\n.\r\n",
                     b"a AUTHENTICATE X\r\n", b"AUTH X\r\n", b"+OK\r\n", b"RETR 1\r\n", b"a OK\r\n", b"x" * 9000]
                ),
            ),
        )
    )
)  # fmt: skip
def test_any_octets(protocol: str, said: list[tuple[str, bytes]]) -> None:
    """No exception, no memory, no line longer than it may be."""
    dialogue = DIALOGUES[protocol]()
    for line in read(dialogue, said):
        assert len(line) <= SHOWN + len("C  ...")
    for stream in (dialogue._from_client, dialogue._from_server):
        assert len(stream._data) <= LONGEST
