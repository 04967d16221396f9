"""The client's machines: greetings, answers, and servers that break the protocol."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.protocol import (
    ClientConnection,
    MasterClientConnection,
    Mechanism,
    Parameters,
    ProtocolError,
    client,
    master_client,
)

GREETING = b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t10\nCUID\t3\nCOOKIE\tabc\nNEWS\tx\nDONE\n"


def greeted() -> ClientConnection:
    connection = ClientConnection(77)
    assert list(connection.receive(GREETING)) == [client.Ready()]
    assert connection.data_to_send() == b"VERSION\t1\t3\nCPID\t77\n"
    return connection


def test_greeting() -> None:
    connection = greeted()
    assert connection.mechanisms == {"PLAIN": Mechanism("PLAIN", frozenset({"plaintext"}))}
    assert (connection.server_pid, connection.connection_id, connection.cookie) == (10, 3, "abc")


def test_interleaved_requests() -> None:
    connection = greeted()
    parameters = Parameters(service="smtp", secured="tls", nologin=True, rip="10.0.0.1", rport=25)
    one = connection.begin("PLAIN", parameters, b"\0a\0b")
    two = connection.begin("PLAIN", Parameters(service="smtp"), None)
    assert connection.data_to_send() == (
        b"AUTH\t1\tPLAIN\tservice=smtp\tsecured=tls\tnologin\trip=10.0.0.1\trport=25\tresp=AGEAYg==\n"
        b"AUTH\t2\tPLAIN\tservice=smtp\n"
    )
    events = list(connection.receive(b"CONT\t2\t\nOK\t1\tuser=a\tnologin\tx=\x01t\nFAIL\t2\tuser=b\tcode=temp_fail\n"))
    assert events == [
        client.Challenge(two, b""),
        client.Success(one, {"user": "a", "nologin": "", "x": "\t"}),
        client.Failure(two, {"user": "b", "code": "temp_fail"}),
    ]


def test_an_answer_that_crosses_a_cancel_is_dropped() -> None:
    connection = greeted()
    id = connection.begin("PLAIN", Parameters(service="smtp"), None)
    connection.cancel(id)
    assert connection.data_to_send().endswith(b"CANCEL\t1\n")
    assert list(connection.receive(b"CONT\t1\t\nOK\t1\tuser=a\nFAIL\t1\n")) == []


def test_channel_binding() -> None:
    connection = greeted()
    id = connection.begin("PLAIN", Parameters(service="smtp"), None)
    connection.data_to_send()
    said = f"CONT\t{id}\teA==\tchannel_binding=tls-unique\n".encode()
    assert list(connection.receive(said)) == [client.Challenge(id, b"x", "tls-unique")]
    connection.respond(id, b"y", b"data")
    assert connection.data_to_send() == f"CONT\t{id}\teQ==\tchannel_binding=ZGF0YQ==\n".encode()


def test_a_request_that_is_too_long_is_not_sent() -> None:
    connection = greeted()
    with pytest.raises(ProtocolError):
        connection.begin("PLAIN", Parameters(service="smtp"), b"x" * 20000)
    assert connection.data_to_send() == b""


@pytest.mark.parametrize(
    "lines",
    [
        b"MECH\tPLAIN\n",
        b"VERSION\t2\t0\n",
        b"VERSION\t1\t2\nDONE\n",
        b"VERSION\t1\t2\nSPID\tx\n",
        b"VERSION\t1\t2\n" + b"".join(b"MECH\tX%d\n" % n for n in range(200)),
        GREETING + b"OK\t1\n",
        GREETING + b"FOO\t1\n",
        GREETING + b"CONT\t1\t%%%\n",
        b"x" * 70000,
    ],
)
def test_a_broken_server(lines: bytes) -> None:
    connection = ClientConnection(77)
    try:
        list(connection.receive(lines[: len(GREETING)]))
        connection.begin("PLAIN", Parameters(service="smtp"), None)
        with pytest.raises(ProtocolError):
            list(connection.receive(lines[len(GREETING) :]))
    except ProtocolError:
        assert not lines.startswith(GREETING)


def test_master_lookups() -> None:
    connection = MasterClientConnection()
    assert list(connection.receive(b"VERSION\t1\t1\nSPID\t9\n")) == [master_client.Ready()]
    connection.data_to_send()
    connection.user("al\tice", Parameters(service="lmtp"))
    connection.list_users("a*", Parameters(service="x"))
    assert connection.data_to_send() == b"USER\t1\tal\x01tice\tservice=lmtp\nLIST\t2\tuser=a*\tservice=x\n"
    lines = (
        b"USER\t1\talice\tuid=5\thome=/a\nLIST\t2\ta\nDONE\t2\t\nDONE\t3\tfail\nNOTFOUND\t4\nFAIL\t5\treason=later\n"
    )
    assert list(connection.receive(lines)) == [
        master_client.Found(1, "alice", {"uid": "5", "home": "/a"}),
        master_client.Listed(2, "a"),
        master_client.Done(2),
        master_client.Failed(3, {}),
        master_client.NotFound(4),
        master_client.Failed(5, {"reason": "later"}),
    ]


WORDS = st.sampled_from(
    [
        b"VERSION\t1\t2",
        b"SPID\t1",
        b"CUID\t1",
        b"COOKIE\tx",
        b"MECH\tPLAIN",
        b"DONE",
        b"OK\t1\tuser=a",
        b"CONT\t1\tYQ==",
        b"FAIL\t1",
        b"USER\t1\ta",
        b"NOTFOUND\t1",
        b"LIST\t1\ta",
        b"DONE\t1\t",
        b"\n",
        b"\t",
        b"\xff",
        b"\x01",
    ]
)


@given(st.lists(st.one_of(WORDS, st.just(b"\n"), st.binary(max_size=6)), max_size=30))
def test_only_the_typed_error_escapes(parts: list[bytes]) -> None:
    data = b"".join(parts)
    for connection in (ClientConnection(1), MasterClientConnection()):
        if isinstance(connection, ClientConnection):
            connection.begin("PLAIN", Parameters(service="x"), None)
        try:
            for n in range(len(data)):
                list(connection.receive(data[n : n + 1]))
        except ProtocolError:
            continue
