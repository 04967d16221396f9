"""Mechanisms that send the password itself, or nothing to check: PLAIN, LOGIN, EXTERNAL, ANONYMOUS."""

from __future__ import annotations

from .steps import (
    ActAs,
    Anonymous,
    Certificate,
    Challenge,
    Done,
    Environment,
    Identify,
    Initial,
    Refused,
    Steps,
    VerifyPassword,
    as_bytes,
    first_response,
    text,
)


def plain(environment: Environment) -> Steps:
    """PLAIN, RFC 4616: ``authzid NUL authcid NUL password``."""
    message = yield from first_response()
    parts = message.split(b"\0")
    if len(parts) != 3:
        raise Refused("invalid input")
    authzid, authcid, password = parts
    yield Identify(text(authcid))
    if authzid:
        yield ActAs(text(authzid))
    yield VerifyPassword(password)
    return Done()


def login(environment: Environment) -> Steps:
    """LOGIN (draft-murchison-sasl-login): user name, then password. An initial response is the user name."""
    user = yield Initial()
    if not user:
        user = yield Challenge(b"Username:")
    yield Identify(text(as_bytes(user)))
    password = yield Challenge(b"Password:")
    yield VerifyPassword(as_bytes(password))
    return Done()


def external(environment: Environment) -> Steps:
    """EXTERNAL, RFC 4422 appendix A: the client certificate has already said who it is. As in Dovecot the passdb has to
    let the user in with an empty password: its entries have ``nopassword``, and its block ``mechanisms = external``."""
    authzid = yield from first_response()
    yield Certificate()
    if authzid:
        yield ActAs(text(authzid))
    yield VerifyPassword(b"")
    return Done()


def anonymous(environment: Environment) -> Steps:
    """ANONYMOUS, RFC 4505."""
    trace = yield Initial()
    if trace is None:
        trace = yield Challenge(b"")
    yield Anonymous(text(as_bytes(trace)))
    return Done()
