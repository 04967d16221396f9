"""Targets: how they are written, and which of them may be audited without a word of their owner."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.audit.target import SCHEMES, Target, is_ours, resolve
from lab.errors import UsageError


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port"),
    [
        ("smtp://mail.example.org", "smtp", "mail.example.org", 25),
        ("submission://localhost", "submission", "localhost", 587),
        ("smtps://10.0.0.1:4650", "smtps", "10.0.0.1", 4650),
        ("imaps://[::1]", "imaps", "::1", 993),
        ("imap://[fe80::1%eth0]:143/", "imap", "fe80::1%eth0", 143),
        ("pop3://a_b.example:110", "pop3", "a_b.example", 110),
        ("POP3S://x", "pop3s", "x", 995),
    ],
)
def test_a_target_is_taken_apart(text: str, scheme: str, host: str, port: int) -> None:
    assert Target.parse(text) == Target(scheme, host, port)
    assert Target.parse(str(Target.parse(text))) == Target.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "mail.example.org", "http://x", "smtp://", "smtp://x:0", "smtp://x:65536", "smtp://x:2_5", "smtp://x:٢٥",
        "smtp://u:p@x", "smtp://x\n", "smtp://x/y", "smtp://[::1", "smtp://x y", "smtp://\x1b[31m",
    ],
)  # fmt: skip
def test_what_is_no_target_is_told_so(text: str) -> None:
    with pytest.raises(UsageError, match=r"target|port"):
        Target.parse(text)


@given(st.text(max_size=40))
def test_any_text_is_a_target_or_an_error(text: str) -> None:
    for whole in (text, f"smtp://{text}", f"imap://[{text}]:143"):
        try:
            target = Target.parse(whole)
        except UsageError:
            continue
        assert target.scheme in SCHEMES
        assert 0 < target.port < 65536


@pytest.mark.parametrize(
    ("address", "ours"),
    [
        ("127.0.0.1", True), ("127.255.0.9", True), ("::1", True), ("10.1.2.3", True), ("172.16.0.1", True),
        ("172.32.0.1", False), ("192.168.1.25", True), ("169.254.1.1", True), ("fe80::1", True), ("fd00::1", True),
        ("::ffff:10.0.0.1", True), ("::ffff:8.8.8.8", False), ("8.8.8.8", False), ("2606:4700::1111", False), ("0.0.0.0", False), ("::", False),
    ],
)  # fmt: skip
def test_private_addresses_are_ours(address: str, ours: bool) -> None:
    assert is_ours(ipaddress.ip_address(address)) is ours


async def test_a_link_local_address_keeps_its_interface() -> None:
    """Without it the system does not know where to connect (RFC 4007 section 11)."""
    (address,) = await resolve(Target.parse("smtp://[fe80::1%lo]"))
    assert address == ipaddress.ip_address("fe80::1%lo")
    assert is_ours(address)
