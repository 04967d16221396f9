"""Channel bindings (RFC 5056): what ties a SASL exchange to the very TLS session that it runs in."""

from __future__ import annotations

from weakref import WeakSet

from OpenSSL import SSL

EXPORTER, UNIQUE = "tls-exporter", "tls-unique"
_LABEL, _OCTETS = b"EXPORTER-Channel-Binding", 32
_TLS13 = "TLSv1.3"


def exporter(connection: SSL.Connection) -> bytes | None:
    """tls-exporter (RFC 9266) of a finished handshake; None before TLS 1.3, whose master secrets need not be unique."""
    if connection.get_protocol_version_name() != _TLS13:
        return None
    return connection.export_keying_material(_LABEL, _OCTETS, b"")


def unique(connection: SSL.Connection, *, client_first: bool) -> bytes | None:
    """tls-unique (RFC 5929 section 3), seen from the server: the Finished message that was sent first, the client's
    unless the session was resumed. None from TLS 1.3 on, which has no such binding."""
    if connection.get_protocol_version_name() == _TLS13:
        return None
    return connection.get_peer_finished() if client_first else connection.get_finished()


def note_order(connection: SSL.Connection, where: int, result: int) -> None:
    """Info callback of server contexts, for ``noted``: when the client's Finished is read, has ours been sent?"""
    if where & SSL.SSL_CB_LOOP and connection.get_state_string() == _CLIENT_FINISHED and connection.get_finished():
        _server_first.add(connection)


def noted(connection: SSL.Connection, kind: str) -> bytes | None:
    """The binding of a kind, in a server whose context has ``note_order``; None where there is none."""
    if kind == UNIQUE:
        return unique(connection, client_first=connection not in _server_first)
    return exporter(connection) if kind == EXPORTER else None


_CLIENT_FINISHED = b"SSLv3/TLS read finished"
_server_first: WeakSet[SSL.Connection] = WeakSet()
"""Living connections of resumed sessions."""
