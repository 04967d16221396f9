"""One authority for the whole directory, and contexts made from it."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tls.authority import Authority, Credentials
from tls.context import client_context, server_context
from tls.policy import Policy


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("authority") / "ca")


@pytest.fixture(scope="session")
def server(authority: Authority) -> Credentials:
    return authority.issue_server(["localhost", "mail.example.org", "127.0.0.1", "::1"])


@pytest.fixture(scope="session")
def alice(authority: Authority) -> Credentials:
    return authority.issue_client("alice@example.org")


@pytest.fixture(params=[False, True], ids=["ssl", "pyopenssl"])
def server_side(request: pytest.FixtureRequest, server: Credentials) -> ssl.SSLContext:
    return server_context(server.certificate_file, server.key_file, Policy(), detailed=request.param)


@pytest.fixture
def client_side(authority: Authority) -> ssl.SSLContext:
    return client_context(Policy(), authority.certificate_file)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return tmp_path
