"""The services Dovecot 2.3 has without being told: users, limits and listeners (doc/wiki Services; doveconf -d)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .tree import Node, Value

_BUILT_IN = Path("built-in defaults")


def _block(path: str, name: str, settings: dict[str, str]) -> Node:
    values = {key: Value(text, _BUILT_IN, 0) for key, text in settings.items()}
    return Node(path.rpartition("/")[2], name, path, None, _BUILT_IN, 0, values)


def unix(path: str, **settings: str) -> Node:
    """A unix socket below ``base_dir``; mode 0600 of root unless told otherwise."""
    return _block("service/unix_listener", path, settings)


def fifo(path: str, **settings: str) -> Node:
    """A named pipe below ``base_dir``."""
    return _block("service/fifo_listener", path, settings)


def inet(name: str, **settings: str) -> Node:
    """A TCP port on the addresses of ``listen``."""
    return _block("service/inet_listener", name, settings)


def _service(name: str, listeners: Sequence[Node], **settings: str) -> Node:
    node = _block("service", name, settings)
    node.children = list(listeners)
    return node


SERVICES = (
    _service(
        "aggregator",
        [fifo("replication-notify-fifo"), unix("replication-notify")],
        chroot=".",
        executable="aggregator",
        user="$default_internal_user",
    ),
    _service(
        "anvil",
        [unix("anvil-auth-penalty"), unix("anvil")],
        chroot="empty",
        executable="anvil",
        idle_kill="4294967295 secs",
        process_limit="1",
        process_min_avail="1",
        type="anvil",
        user="$default_internal_user",
    ),
    _service(
        "auth-worker",
        [unix("auth-worker", user="$default_internal_user")],
        client_limit="1",
        executable="auth -w",
        type="worker",
    ),
    _service(
        "auth",
        [
            unix("auth-client", user="$default_internal_user"),
            unix("auth-login", user="$default_internal_user"),
            unix("auth-master"),
            unix("auth-userdb", mode="0666", user="$default_internal_user"),
            unix("login/login", mode="0666"),
            unix("token-login/tokenlogin", mode="0666"),
        ],
        executable="auth",
        process_limit="1",
        user="$default_internal_user",
    ),
    _service("config", [unix("config")], executable="config", idle_kill="4294967295 secs", type="config"),
    _service(
        "dict-async",
        [unix("dict-async", group="$default_internal_group", mode="0660")],
        executable="dict",
        user="$default_internal_user",
    ),
    _service(
        "dict",
        [unix("dict", group="$default_internal_group", mode="0660")],
        client_limit="1",
        executable="dict",
        user="$default_internal_user",
    ),
    _service(
        "director",
        [fifo("login/proxy-notify", mode="00"), unix("director-admin"), unix("login/director", mode="00")],
        chroot=".",
        executable="director",
        idle_kill="4294967295 secs",
        process_limit="1",
        user="$default_internal_user",
    ),
    _service(
        "dns-client",
        [unix("dns-client", mode="0666"), unix("login/dns-client", mode="0666")],
        client_limit="1",
        executable="dns-client",
        user="$default_internal_user",
    ),
    _service(
        "doveadm",
        [unix("doveadm-server")],
        client_limit="1",
        executable="doveadm-server",
        extra_groups="$default_internal_group",
        service_count="1",
    ),
    _service(
        "health-check",
        [],
        client_limit="1",
        drop_priv_before_exec="yes",
        executable="script -p health-check.sh",
        user="$default_internal_user",
    ),
    _service(
        "imap-hibernate",
        [unix("imap-hibernate", group="$default_internal_group", mode="0660")],
        executable="imap-hibernate",
        protocol="imap",
        user="$default_internal_user",
    ),
    _service(
        "imap-login",
        [inet("imap", port="143"), inet("imaps", port="993", ssl="yes")],
        chroot="login",
        executable="imap-login",
        protocol="imap",
        service_count="1",
        type="login",
        user="$default_login_user",
    ),
    _service(
        "imap-urlauth-login",
        [unix("imap-urlauth", mode="0666")],
        chroot="token-login",
        executable="imap-urlauth-login",
        protocol="imap",
        service_count="1",
        type="login",
        user="$default_login_user",
    ),
    _service(
        "imap-urlauth-worker",
        [unix("imap-urlauth-worker", user="$default_internal_user")],
        client_limit="1",
        executable="imap-urlauth-worker",
        extra_groups="$default_internal_group",
        process_limit="1024",
        protocol="imap",
        service_count="1",
    ),
    _service(
        "imap-urlauth",
        [unix("token-login/imap-urlauth", mode="0666")],
        client_limit="1",
        executable="imap-urlauth",
        process_limit="1024",
        protocol="imap",
        service_count="1",
        user="$default_internal_user",
    ),
    _service(
        "imap",
        [unix("imap-master"), unix("login/imap", mode="0666")],
        client_limit="1",
        executable="imap",
        extra_groups="$default_internal_group",
        process_limit="1024",
        protocol="imap",
        service_count="1",
    ),
    _service(
        "indexer-worker",
        [unix("indexer-worker", user="$default_internal_user")],
        client_limit="1",
        executable="indexer-worker",
        extra_groups="$default_internal_group",
        process_limit="10",
        type="worker",
    ),
    _service(
        "indexer",
        [unix("indexer", mode="0666")],
        executable="indexer",
        process_limit="1",
        user="$default_internal_user",
    ),
    _service(
        "ipc",
        [unix("ipc", user="$default_internal_user"), unix("login/ipc-proxy", user="$default_login_user")],
        chroot="empty",
        executable="ipc",
        process_limit="1",
        user="$default_internal_user",
    ),
    _service(
        "lmtp",
        [unix("lmtp", mode="0666")],
        client_limit="1",
        executable="lmtp",
        extra_groups="$default_internal_group",
        protocol="lmtp",
    ),
    _service("log", [unix("log-errors")], executable="log", idle_kill="4294967295 secs", process_limit="1", type="log"),
    _service(
        "old-stats",
        [fifo("old-stats-mail"), fifo("old-stats-user"), unix("old-stats")],
        chroot="empty",
        executable="old-stats",
        idle_kill="4294967295 secs",
        process_limit="1",
        user="$default_internal_user",
    ),
    _service(
        "pop3-login",
        [inet("pop3", port="110"), inet("pop3s", port="995", ssl="yes")],
        chroot="login",
        executable="pop3-login",
        protocol="pop3",
        service_count="1",
        type="login",
        user="$default_login_user",
    ),
    _service(
        "pop3",
        [unix("login/pop3", mode="0666")],
        client_limit="1",
        executable="pop3",
        extra_groups="$default_internal_group",
        process_limit="1024",
        protocol="pop3",
        service_count="1",
    ),
    _service(
        "replicator",
        [
            unix("replicator-doveadm", mode="00", user="$default_internal_user"),
            unix("replicator", user="$default_internal_user"),
        ],
        executable="replicator",
        idle_kill="4294967295 secs",
        process_limit="1",
    ),
    _service(
        "stats",
        [
            unix("login/stats-writer", user="$default_login_user"),
            unix("stats-reader"),
            unix("stats-writer", group="$default_internal_group", mode="0660"),
        ],
        executable="stats",
        idle_kill="4294967295 secs",
        process_limit="1",
        user="$default_internal_user",
    ),
    _service(
        "submission-login",
        [inet("submission", port="587")],
        chroot="login",
        executable="submission-login",
        protocol="submission",
        service_count="1",
        type="login",
        user="$default_login_user",
    ),
    _service(
        "submission",
        [unix("login/submission", mode="0666")],
        client_limit="1",
        executable="submission",
        extra_groups="$default_internal_group",
        process_limit="1024",
        protocol="submission",
        service_count="1",
    ),
    _service("tcpwrap", [], client_limit="1", executable="tcpwrap", user="$default_internal_user"),
)

DEFAULT_SERVICES = {node.name: node for node in SERVICES}
"""Built-in services by name; the settings left out are those of the parameter table."""
