"""Which certificate answers to which name."""

from __future__ import annotations

import pytest

from tls import names
from tls.authority import Authority


@pytest.mark.parametrize(
    ("issued", "wanted", "expected"),
    [
        ("mail.example.org", "mail.example.org", True),
        ("mail.example.org", "MAIL.Example.ORG", True),
        ("mail.example.org", "mail.example.org.", True),
        ("mail.example.org", "example.org", False),
        ("mail.example.org", ".example.org", True),
        ("a.b.example.org", ".example.org", True),
        ("example.org", ".example.org", False),
        ("notexample.org", ".example.org", False),
        ("*.example.org", "mail.example.org", True),
        ("*.example.org", "a.mail.example.org", False),
        ("*.example.org", "example.org", False),
        ("*.org", "example.org", False),
        ("mail.example.org", "", False),
        ("mail.example.org", "mail.example.org\0.evil.test", False),
    ],
)
def test_matching(authority: Authority, issued: str, wanted: str, expected: bool) -> None:
    certificate = authority.issue_server([issued]).certificate
    assert names.matches(certificate, [wanted]) is expected
    assert names.matches(certificate, ["elsewhere.test", wanted]) is expected
    assert not names.matches(certificate, [])


def test_the_common_name_counts_only_without_alternative_names(authority: Authority) -> None:
    plain = authority.issue_client("word").certificate
    assert names.dns_names(plain) == ["word"]
    named = authority.issue_server(["a.example.org", "b.example.org", "127.0.0.1"]).certificate
    assert names.dns_names(named) == ["a.example.org", "b.example.org"]
