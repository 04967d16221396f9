"""What a client remembers of its TLS sessions, for how long and of how many servers."""

from __future__ import annotations

import ssl
from types import SimpleNamespace
from typing import Any

import pytest

from tls import resumption
from tls.resumption import Sessions


def connection(context: ssl.SSLContext, session: object, version: str = "TLSv1.2", reused: bool = False) -> Any:
    return SimpleNamespace(context=context, session=session, version=lambda: version, session_reused=reused)


def offers(sessions: Sessions, context: ssl.SSLContext, key: str) -> bool:
    return sessions.offering(context, key) is not context


def test_age_context_and_number_bound_what_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumption, "SESSIONS_MAX", 2)
    now = 0.0
    context, other = ssl.create_default_context(), ssl.create_default_context()
    sessions = Sessions(100.0, lambda: now)
    assert not offers(sessions, context, "a")
    sessions.remember("a", connection(context, object()))
    assert offers(sessions, context, "a")
    assert not offers(sessions, other, "a")  # OpenSSL would refuse
    assert not offers(sessions, context, "b")
    now = 99.0
    sessions.remember("a", connection(context, object(), reused=True))  # as old as it was
    now = 100.0
    assert not offers(sessions, context, "a")
    for key in "abc":
        sessions.remember(key, connection(context, object()))
    assert [offers(sessions, context, key) for key in "abc"] == [False, True, True]


def test_a_session_without_a_ticket_cannot_be_resumed_in_tls_1_3() -> None:
    context = ssl.create_default_context()
    sessions = Sessions(100.0)
    sessions.remember("a", connection(context, SimpleNamespace(has_ticket=False), "TLSv1.3"))
    sessions.remember("b", connection(context, SimpleNamespace(has_ticket=True), "TLSv1.3"))
    sessions.remember("c", connection(context, None))
    assert [offers(sessions, context, key) for key in "abc"] == [False, True, False]
