"""From requests to actions: the words, the header of RFC 7208 section 9.1, and the protocol on the wire."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.policyd import Checker, Outcome, Result
from mta.policyd.policy import Judged, Policy, received_spf, refusal
from mta.policyd.protocol import REQUEST_LIMIT, ProtocolError, RequestReader, answer
from mta.policyd.service import PolicyServer

ZONE = """
    good.example TXT v=spf1 ip4:192.0.2.1 -all
    soft.example TXT v=spf1 ~all
    told.example TXT v=spf1 -all exp=why.told.example
    why.told.example TXT ask the postmaster
    down.example TXT SERVFAIL
    broken.example TXT v=spf1 a:
    helo.example TXT v=spf1 -all
    mail.good.example TXT v=spf1 a -all
    mail.good.example A 192.0.2.1
"""


@pytest.fixture
def policy(zone) -> Policy:
    return Policy(Checker(zone(ZONE), "mx.example.net"), "mx.example.net", [ipaddress.ip_network("127.0.0.0/8")])


def request(sender: str = "bob@good.example", address: str = "192.0.2.1", **more: str) -> dict[str, str]:
    """What smtpd asks at RCPT."""
    return {
        "request": "smtpd_access_policy",
        "protocol_state": "RCPT",
        "client_address": address,
        "helo_name": "mx.nowhere.example",
        "sender": sender,
        "instance": "",
    } | more


async def test_a_fail_is_refused(policy: Policy) -> None:
    assert await policy.action(request(address="192.0.2.9")) == (
        "550 5.7.23 Message rejected due to: SPF fail - not authorized. Please see "
        "http://www.open-spf.org/Why?s=mfrom;id=bob@good.example;ip=192.0.2.9;r=mx.example.net"
    )
    assert await policy.action(request("bob@told.example")) == (
        "550 5.7.23 Message rejected due to: SPF fail - not authorized. "
        "The domain told.example explains: ask the postmaster"
    )


async def test_a_helo_name_that_its_owner_denies_is_refused(policy: Policy) -> None:
    action = await policy.action(request(helo_name="helo.example"))
    assert action.startswith("550 5.7.23 ")
    assert "s=helo;id=helo.example;" in action


@pytest.mark.parametrize(
    ("sender", "result"),
    [
        ("bob@good.example", "pass"),
        ("bob@soft.example", "softfail"),
        ("bob@nowhere.example", "none"),
        ("bob@broken.example", "permerror"),
    ],
)
async def test_everything_else_is_told_in_a_header(policy: Policy, sender: str, result: str) -> None:
    assert (await policy.action(request(sender))).startswith(
        f"PREPEND Received-SPF: {result} (mx.example.net: domain of "
    )


async def test_the_header_is_that_of_the_rfc(policy: Policy) -> None:
    assert await policy.action(request()) == (
        "PREPEND Received-SPF: pass (mx.example.net: domain of bob@good.example designates 192.0.2.1 as permitted "
        'sender) receiver=mx.example.net; identity=mailfrom; client-ip=192.0.2.1; envelope-from="bob@good.example"; '
        'helo=mx.nowhere.example; mechanism="ip4:192.0.2.1";'
    )


async def test_a_bounce_is_judged_by_its_helo_name(policy: Policy) -> None:
    action = await policy.action(request("", helo_name="mail.good.example"))
    assert action.startswith("PREPEND Received-SPF: pass (mx.example.net: domain mail.good.example designates ")
    assert 'identity=helo; client-ip=192.0.2.1; envelope-from=""; helo=mail.good.example; mechanism=a;' in action


async def test_a_temporary_error_defers(policy: Policy) -> None:
    action = await policy.action(request("bob@down.example"))
    assert action == "DEFER_IF_PERMIT 4.7.24 Message deferred due to: SPF temporary error in down.example"


async def test_one_header_for_all_recipients_of_a_message(policy: Policy) -> None:
    assert (await policy.action(request(instance="a.1"))).startswith("PREPEND")
    assert await policy.action(request(instance="a.1")) == "DUNNO"
    assert (await policy.action(request(instance="a.2"))).startswith("PREPEND")
    for _ in range(2):
        assert (await policy.action(request(instance="a.3", address="192.0.2.9"))).startswith("550")


@pytest.mark.parametrize(
    "more",
    [{"sasl_username": "bob"}, {"protocol_state": "CONNECT"}, {"client_address": "127.0.0.1"}, {"client_address": ""}],
)
async def test_who_is_not_asked_about(policy: Policy, more: dict[str, str]) -> None:
    assert await policy.action(request("bob@told.example", **more)) == "DUNNO"


@given(st.text(max_size=40), st.text(max_size=40), st.sampled_from(Result), st.text(max_size=40), st.text(max_size=40))
def test_whatever_a_client_or_a_record_says_stays_on_its_line(
    sender: str, helo: str, result: Result, problem: str, explanation: str
) -> None:
    judged = Judged("mailfrom", sender, Outcome(result, "mx", problem, explanation))
    header = received_spf(judged, "2001:db8::1", helo, sender, "mx.example.net")
    assert re.fullmatch(r"Received-SPF: [a-z]+ \((?:[^()\\]|\\.)*\) [ -~]*;", header)
    assert 'client-ip="2001:db8::1"' in header
    assert refusal(judged, "192.0.2.1", helo, sender, "mx").isprintable()


def test_requests_are_read_however_they_are_cut() -> None:
    text = b"request=smtpd_access_policy\nsender=a=b\n\nrequest=smtpd_access_policy\nhelo_name=x\n\n"
    whole = RequestReader().feed(text)
    assert [each.get("sender") for each in whole] == ["a=b", None]
    for end in range(len(text)):
        reader = RequestReader()
        assert reader.feed(text[:end]) + reader.feed(text[end:]) == whole


@pytest.mark.parametrize("text", [b"\n\n", b"sender=x\n\n", b"request=junk\n\n", b"GET / HTTP/1.0\n\n", b"=x\n\n"])
def test_what_is_no_request(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        RequestReader().feed(text)


def test_a_request_without_end_takes_no_memory() -> None:
    reader = RequestReader()
    with pytest.raises(ProtocolError):
        for _ in range(10):
            reader.feed(b"x" * (REQUEST_LIMIT // 5))


@given(st.lists(st.binary(max_size=80), max_size=5))
def test_any_octets_are_requests_or_a_typed_error(parts: list[bytes]) -> None:
    reader = RequestReader()
    try:
        for part in parts:
            reader.feed(part)
    except ProtocolError:
        pass


def test_an_action_cannot_end_its_line() -> None:
    assert answer("PREPEND X: a\naction=OK") == b"action=PREPEND X: a action=OK\n\n"


@pytest.mark.parametrize("family", [socket.AF_UNIX, socket.AF_INET])
async def test_on_a_socket(policy: Policy, tmp_path: Path, family: socket.AddressFamily) -> None:
    listener = socket.socket(family)
    listener.bind(str(tmp_path / "s") if family == socket.AF_UNIX else ("127.0.0.1", 0))
    listener.listen()
    listener.setblocking(False)
    server = PolicyServer(policy)
    await server.listen([listener])
    where = listener.getsockname()
    connect = asyncio.open_unix_connection(where) if family == socket.AF_UNIX else asyncio.open_connection(*where)
    reader, writer = await connect
    octets = "".join(f"{name}={value}\n" for name, value in request().items()).encode() + b"\n"
    writer.write(octets + octets)
    for _ in range(2):
        assert (await reader.readuntil(b"\n\n")).startswith(b"action=PREPEND Received-SPF: pass ")
    writer.write(b"nonsense\n\n")
    assert await reader.read() == b""
    writer.close()
    await server.close()


def test_the_command_answers_on_standard_input(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text("compatibility_level = 3.6\n")
    octets = b"".join(f"{name}={value}\n".encode() for name, value in request(client_address="127.0.0.1").items())
    program = "import sys; from mta.policyd.command import main; sys.exit(main(sys.argv[1:]))"
    argv = [sys.executable, "-c", program, "-c", str(tmp_path)]
    done = subprocess.run(argv, input=octets + b"\n", capture_output=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"action=DUNNO\n\n", b"")


def test_standard_input_that_cannot_be_waited_for_is_refused(tmp_path: Path) -> None:
    """A file, or /dev/null, has nothing that an event loop could wait for: a policy client is a pipe or a socket."""
    program = "import sys; from mta.policyd.command import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", program, "-c", str(tmp_path)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (64, "policyd: standard input has to be a pipe or a socket\n")
