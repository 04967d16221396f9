"""The server's machines: every line of the protocol, every breach of it, whole and byte by byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.protocol import MasterServerConnection, ProtocolError, ServerConnection, master_server, server, wire

HELLO = b"VERSION\t1\t2\nCPID\t7\n"


def machine() -> ServerConnection:
    return ServerConnection({"PLAIN": ("plaintext",), "LOGIN": ("plaintext",)}, spid=10, cuid=3, cookie="c" * 32)


def master(*, userdb_only: bool = False) -> MasterServerConnection:
    return MasterServerConnection(spid=10, userdb_only=userdb_only)


def test_greeting() -> None:
    assert machine().data_to_send() == (
        b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t10\nCUID\t3\n"
        b"COOKIE\tcccccccccccccccccccccccccccccccc\nDONE\n"
    )


def test_a_request() -> None:
    connection = machine()
    events = list(connection.receive(HELLO + b"AUTH\t1\tplain\tservice=smtp\tsecured\trip=10.0.0.1\tresp=AGEAYg==\n"))
    assert events[0] == server.Handshake(7)
    begin = events[1]
    assert isinstance(begin, server.Begin)
    assert (begin.id, begin.mechanism, begin.initial) == (1, "PLAIN", b"\0a\0b")
    assert (begin.parameters.service, begin.parameters.secured, begin.parameters.rip) == ("smtp", "yes", "10.0.0.1")
    connection.data_to_send()
    connection.send_ok(1, ["user=a", "x=\t\n\x01"])
    assert connection.data_to_send() == b"OK\t1\tuser=a\tx=\x01t\x01n\x011\n"


def test_a_secret_is_not_in_the_representation() -> None:
    connection = machine()
    *_, begin = connection.receive(HELLO + b"AUTH\t1\tPLAIN\tservice=smtp\tresp=AGEAc2VjcmV0\n")
    assert "secret" not in repr(begin)
    connection.send_challenge(1, b"")
    (answer,) = connection.receive(b"CONT\t1\tc2VjcmV0\n")
    assert "secret" not in repr(answer)


def test_challenges_and_responses() -> None:
    connection = machine()
    list(connection.receive(HELLO + b"AUTH\t5\tLOGIN\tservice=smtp\n"))
    connection.data_to_send()
    connection.send_challenge(5, b"Username:")
    assert connection.data_to_send() == b"CONT\t5\tVXNlcm5hbWU6\n"
    assert list(connection.receive(b"CONT\t5\t\n")) == [server.Continue(5, b"")]
    assert list(connection.receive(b"CONT\t5\tYQ==\n")) == [server.Cancel(5)], "nothing was asked"
    assert connection.data_to_send() == b"FAIL\t5\treason=Unexpected continuation\n"


def test_broken_base64_ends_the_request_only() -> None:
    connection = machine()
    events = list(connection.receive(HELLO + b"AUTH\t1\tPLAIN\tservice=x\tresp=%%\nAUTH\t2\tPLAIN\tservice=x\n"))
    assert events[1] == server.Malformed(1)
    assert isinstance(events[2], server.Begin)
    assert (
        b"FAIL\t1\tcode=invalid_base64\treason=Invalid base64 data in initial response\n" in connection.data_to_send()
    )


@pytest.mark.parametrize(("minor", "initial"), [(1, None), (2, b"")])
def test_an_empty_response_of_an_old_client_is_none(minor: int, initial: bytes | None) -> None:
    *_, begin = machine().receive(b"VERSION\t1\t%d\nCPID\t7\nAUTH\t1\tPLAIN\tservice=x\tresp=\n" % minor)
    assert isinstance(begin, server.Begin)
    assert begin.initial == initial


def test_unknown_requests_have_timed_out() -> None:
    connection = machine()
    list(connection.receive(HELLO + b"CONT\t9\tYQ==\n"))
    assert connection.data_to_send().endswith(b"FAIL\t9\treason=Authentication request timed out\n")


@pytest.mark.parametrize(
    "lines",
    [
        b"CPID\t7\n",
        b"VERSION\t2\t0\n",
        b"VERSION\t1\n",
        b"VERSION\t1\tx\n",
        b"VERSION\t1\t2\nCPID\t0\n",
        b"VERSION\t1\t2\nAUTH\t1\tPLAIN\tservice=x\n",
        HELLO + b"CPID\t8\n",
        HELLO + b"\n",
        HELLO + b"FOO\t1\n",
        HELLO + b"AUTH\n",
        HELLO + b"AUTH\t1\n",
        HELLO + b"AUTH\t0\tPLAIN\tservice=x\n",
        HELLO + b"AUTH\t4294967296\tPLAIN\tservice=x\n",
        HELLO + b"AUTH\t+1\tPLAIN\tservice=x\n",
        HELLO + b"AUTH\t1\tNTLM\tservice=x\n",
        HELLO + b"AUTH\t1\tPLAIN\n",
        HELLO + b"AUTH\t1\tPLAIN\tservice=x\tresp=YQ==\tsecured\n",
        HELLO + b"AUTH\t1\tPLAIN\tservice=x\nAUTH\t1\tPLAIN\tservice=x\n",
        HELLO + b"CONT\t1\n",
        HELLO + b"CANCEL\tx\n",
        HELLO + b"A" * wire.CLIENT_LINE_MAX,
    ],
)
def test_breach_closes_the_connection(lines: bytes) -> None:
    with pytest.raises(ProtocolError):
        list(machine().receive(lines))


def test_line_limit_is_exact() -> None:
    start = HELLO + b"AUTH\t1\tPLAIN\tservice=x\ty="
    longest = wire.CLIENT_LINE_MAX - len(start) + len(HELLO) - 1
    assert len(list(machine().receive(start + b"z" * longest + b"\n"))) == 2
    with pytest.raises(ProtocolError):
        list(machine().receive(start + b"z" * (longest + 1) + b"\n"))


def test_ids_come_free_and_requests_are_bounded() -> None:
    connection = machine()
    list(connection.receive(HELLO))
    for number in range(1, server.REQUESTS_MAX + 1):
        list(connection.receive(b"AUTH\t%d\tPLAIN\tservice=x\n" % number))
    with pytest.raises(ProtocolError, match="too many"):
        list(connection.receive(b"AUTH\t5000\tPLAIN\tservice=x\n"))
    connection.send_ok(1, ["user=a"])
    assert len(list(connection.receive(b"AUTH\t1\tPLAIN\tservice=x\n"))) == 1


def test_a_forgotten_request_takes_no_more_responses_and_its_number_may_serve_another() -> None:
    connection = machine()
    list(connection.receive(HELLO + b"AUTH\t1\tPLAIN\tservice=x\n"))
    connection.data_to_send()
    connection.forget(1)
    list(connection.receive(b"CONT\t1\tYQ==\n"))
    connection.send_fail(1, ["user=a"])
    assert connection.data_to_send() == b"FAIL\t1\treason=Authentication request timed out\n"
    list(connection.receive(b"AUTH\t1\tPLAIN\tservice=x\n"))
    connection.send_late_fail(1, ["user=a"])
    connection.send_ok(1, ["user=b"])
    assert connection.data_to_send() == b"FAIL\t1\tuser=a\nOK\t1\tuser=b\n"


def test_channel_binding_data_are_asked_of_clients_that_have_heard_of_them() -> None:
    for minor, asked, answered in ((2, b"", None), (3, b"\tchannel_binding=tls-exporter", b"data")):
        connection = machine()
        hello = HELLO.replace(b"VERSION\t1\t2", b"VERSION\t1\t%d" % minor)
        list(connection.receive(hello + b"AUTH\t1\tPLAIN\tservice=x\n"))
        connection.data_to_send()
        connection.send_challenge(1, b"x", "tls-exporter")
        assert connection.data_to_send() == b"CONT\t1\teA==" + asked + b"\n"
        more = b"\tother=1\tchannel_binding=ZGF0YQ==" if minor == 3 else b""
        assert list(connection.receive(b"CONT\t1\teQ==" + more + b"\n")) == [server.Continue(1, b"y", answered)]


def test_master_requests() -> None:
    connection = master()
    assert connection.data_to_send() == b"VERSION\t1\t1\nSPID\t10\n"
    cookie = "0123456789abcdef" * 2
    events = list(
        connection.receive(
            b"VERSION\t1\t1\nUSER\t1\talice\tservice=lmtp\nPASS\t2\tbob\tservice=x\nLIST\t3\tuser=a*\tservice=x\n"
            + f"REQUEST\t4\t77\t5\t{cookie}\nCACHE-FLUSH\t6\talice\n".encode()
        )
    )
    assert [type(event) for event in events] == [
        master_server.UserLookup,
        master_server.PassLookup,
        master_server.ListUsers,
        master_server.FinishedLogin,
        master_server.FlushCache,
    ]
    assert events[3] == master_server.FinishedLogin(4, 77, 5, cookie)
    assert cookie not in repr(events[3])


@pytest.mark.parametrize("command", [b"REQUEST\t4\t77\t5\t" + b"0" * 32, b"CACHE-FLUSH\t6"])
def test_a_userdb_socket_has_no_log_ins(command: bytes) -> None:
    assert len(list(master().receive(b"VERSION\t1\t1\n" + command + b"\n"))) == 1
    with pytest.raises(ProtocolError):
        list(master(userdb_only=True).receive(b"VERSION\t1\t1\n" + command + b"\n"))


@pytest.mark.parametrize(
    "lines",
    [
        b"USER\t1\ta\tservice=x\n",
        b"VERSION\t1\t1\nUSER\t1\ta\n",
        b"VERSION\t1\t1\nUSER\tx\ta\tservice=x\n",
        b"VERSION\t1\t1\nLIST\tx\n",
        b"VERSION\t1\t1\n\n",
        b"VERSION\t2\t1\n",
        b"V" * wire.MASTER_LINE_MAX,
        b"VERSION\t1\t1\nREQUEST\t1\t1\t1\tzz\n",
        b"VERSION\t1\t1\nCPID\t1\n",
    ],
)
def test_master_breach_closes_the_connection(lines: bytes) -> None:
    with pytest.raises(ProtocolError):
        list(master().receive(lines))


COMMANDS = st.sampled_from(
    [
        b"VERSION\t1\t2",
        b"CPID\t5",
        b"AUTH\t1\tPLAIN\tservice=x",
        b"CONT\t1\tYQ==",
        b"CANCEL\t1",
        b"\x00",
        b"\r",
        b"\x01",
        b"USER\t1\ta\tservice=x",
        b"PASS\t2\ta\tservice=x",
        b"LIST\t3",
        b"REQUEST\t1\t1\t1\t" + b"0" * 32,
        b"\xff",
        b"=",
    ]
)


@given(st.lists(st.one_of(COMMANDS, st.just(b"\n"), st.just(b"\t"), st.binary(max_size=8)), max_size=30))
def test_only_the_typed_error_escapes_and_cuts_change_nothing(parts: list[bytes]) -> None:
    data = b"".join(parts)
    for make in (machine, master):
        whole, cut = make(), make()
        assert outcome(whole, [data]) == outcome(cut, [data[n : n + 1] for n in range(len(data))])


def outcome(connection: ServerConnection | MasterServerConnection, pieces: list[bytes]) -> tuple[list[str], bool]:
    """The events as text, and whether the connection was broken."""
    events: list[str] = []
    try:
        for piece in pieces:
            for event in connection.receive(piece):
                events.append(repr(event))
    except ProtocolError:
        return events, True
    return events, False
