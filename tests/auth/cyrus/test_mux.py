"""saslauthd's protocol: every request comes back as it went, cut anywhere, and nothing but MuxError escapes."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.cyrus import mux

STRINGS = st.binary(max_size=mux.STRING_MAX)


@given(STRINGS, STRINGS, STRINGS, STRINGS, st.data())
def test_a_request_comes_whole_or_not_yet(
    login: bytes, password: bytes, service: bytes, realm: bytes, data: st.DataObject
) -> None:
    request = mux.Request(login, password, service, realm)
    octets = request.encode()
    cut = data.draw(st.integers(0, len(octets) - 1))
    assert mux.parse(octets[:cut]) is None
    assert mux.parse(octets) == request
    assert mux.parse(octets + mux.counted(b"192.0.2.1")) == mux.Request(login, password, service, realm, b"192.0.2.1")


@given(st.binary(max_size=2000))
def test_only_its_own_error_escapes(octets: bytes) -> None:
    try:
        request = mux.parse(octets)
    except mux.MuxError:
        return
    assert request is None or octets.startswith(request.encode())


def test_lengths() -> None:
    with pytest.raises(mux.MuxError):
        mux.parse(b"\1\1")
    with pytest.raises(mux.MuxError):
        mux.Request(b"a" * 257, b"p").encode()
    assert "secret" not in repr(mux.Request(b"u", b"secret"))


@pytest.mark.parametrize(
    ("answer", "good"),
    [
        (mux.counted(b"OK"), True),
        (mux.counted(b"OK fine"), True),
        (mux.counted(b"NO"), False),
        (b"", None),
        (b"\0", None),
    ],
)
def test_a_client(place: Path, answer: bytes, good: bool | None) -> None:
    path = str(place / "mux")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                assert mux.parse(peer.recv(4096)) == mux.Request(b"u", b"p", b"smtp", b"r")
                peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        request = mux.Request(b"u", b"p", b"smtp", b"r")
        if good is None:
            with pytest.raises(mux.MuxUnavailable, match="no answer"):
                mux.ask(path, request)
        else:
            assert mux.ask(path, request) is good
        thread.join()
    with pytest.raises(mux.MuxUnavailable, match="Connection refused"):
        mux.ask(path, request)
