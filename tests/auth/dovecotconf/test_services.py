"""Services: Dovecot's defaults, what the file changes of them, and listeners with resolved paths and names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from auth.dovecotconf import DovecotConfig, InetListener, UnixListener

Write = Callable[..., Path]


def test_default_auth_service(write: Write, tmp_path: Path) -> None:
    service = DovecotConfig.load(write(f"base_dir = {tmp_path}\n")).service("auth")
    assert (service.user, service.user_explicit) == ("dovecot", False)
    assert service.process_limit == 1
    assert service.client_limit == 1000
    assert service.vsz_limit == 256 << 20
    listeners = {listener.path.name: listener for listener in service.listeners if isinstance(listener, UnixListener)}
    assert listeners["auth-userdb"].mode == 0o666
    assert listeners["auth-client"].path == tmp_path / "auth-client"
    assert not listeners["auth-client"].user_explicit


def test_postfix_socket(write: Write, tmp_path: Path) -> None:
    service = DovecotConfig.load(
        write(
            "service auth {\n unix_listener /spool/private/auth {\n  mode = 0660\n  user = postfix\n"
            "  group = mail\n }\n"
            " unix_listener auth-client {\n  mode = 0\n }\n unix_listener auth-userdb {\n  user =\n }\n}\n"
        )
    ).service("auth")
    listeners = {str(listener.path): listener for listener in service.listeners if isinstance(listener, UnixListener)}
    found = listeners["/spool/private/auth"]
    assert (found.mode, found.user, found.group, found.user_explicit) == (0o660, "postfix", "mail", True)
    assert found.tag == "auth"
    assert found.options["mode"] == "660"
    assert "/run/dovecot/auth-client" not in listeners, "mode 0 switches a listener off"
    assert listeners["/run/dovecot/auth-userdb"].user == ""


def test_inet_listeners(write: Write) -> None:
    config = DovecotConfig.load(
        write(
            "protocols = imap\nlisten = *, ::\nservice imap-login {\n inet_listener imap {\n  port = 1143\n }\n"
            " inet_listener imaps {\n  address = 127.0.0.2\n  port = 1993\n }\n"
            " inet_listener off {\n  port = 0\n }\n}\n"
        )
    )
    found = [
        (listener.name, listener.address, listener.port, listener.ssl)
        for listener in config.service("imap-login").listeners
        if isinstance(listener, InetListener)
    ]
    assert found == [
        ("imap", "0.0.0.0", 1143, False),
        ("imap", "::", 1143, False),
        ("imaps", "127.0.0.2", 1993, True),
    ]


def test_only_enabled_protocols_run(write: Write) -> None:
    names = {service.name for service in DovecotConfig.load(write("protocols = imap\n")).services()}
    assert {"auth", "imap", "imap-login"} <= names
    assert not {"pop3", "pop3-login", "lmtp"} & names


def test_default_users_are_settings(write: Write) -> None:
    config = DovecotConfig.load(write("default_internal_user = daemon\nprotocols = imap\n"))
    assert (config.service("auth").user, config.service("auth").user_explicit) == ("daemon", True)
    assert config.service("imap-login").user == "dovenull"
