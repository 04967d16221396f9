"""Parameters of dovecot.conf inside blocks: passdb, userdb, namespace, mailbox, service and its listeners."""

from __future__ import annotations

from .declare import Parameter, boolean, enum, number, octal, port, seconds, size, string

_RESULTS = "return-ok return return-fail continue continue-ok continue-fail"

PASSDB = (
    string("args", "", "PasswordDatabase"),
    enum("auth_verbose", "default", "default yes no", "PasswordDatabase"),
    string("default_fields", "", "PasswordDatabase/ExtraFields"),
    boolean("deny", "no", "PasswordDatabase"),
    string("driver", "", "PasswordDatabase"),
    boolean("master", "no", "Authentication/MasterUsers"),
    string("mechanisms", "", "PasswordDatabase"),
    string("name", "", "PasswordDatabase"),
    string("override_fields", "", "PasswordDatabase/ExtraFields"),
    boolean("pass", "no", "PasswordDatabase"),
    enum("result_failure", "continue", _RESULTS, "PasswordDatabase"),
    enum("result_internalfail", "continue", _RESULTS, "PasswordDatabase"),
    enum("result_success", "return-ok", _RESULTS, "PasswordDatabase"),
    enum("skip", "never", "never authenticated unauthenticated", "PasswordDatabase"),
    string("username_filter", "", "PasswordDatabase"),
)

USERDB = (
    string("args", "", "UserDatabase"),
    enum("auth_verbose", "default", "default yes no", "UserDatabase"),
    string("default_fields", "", "UserDatabase/ExtraFields"),
    string("driver", "", "UserDatabase"),
    string("name", "", "UserDatabase"),
    string("override_fields", "", "UserDatabase/ExtraFields"),
    enum("result_failure", "continue", _RESULTS, "UserDatabase"),
    enum("result_internalfail", "continue", _RESULTS, "UserDatabase"),
    enum("result_success", "return-ok", _RESULTS, "UserDatabase"),
    enum("skip", "never", "never found notfound", "UserDatabase"),
)

MAILBOX = (
    enum("auto", "no", "no create subscribe", "MailboxSettings"),
    seconds("autoexpunge", "0", "MailboxSettings"),
    number("autoexpunge_max_mails", "0", "MailboxSettings"),
    string("comment", "", "MailboxSettings"),
    string("driver", "", "MailboxSettings"),
    string("name", "", "MailboxSettings"),
    string("special_use", "", "MailboxSettings"),
)

NAMESPACE = (
    string("alias_for", "", "Namespaces", hidden=True),
    boolean("disabled", "no", "Namespaces"),
    boolean("hidden", "no", "Namespaces"),
    boolean("ignore_on_failure", "no", "Namespaces"),
    boolean("inbox", "no", "Namespaces"),
    enum("list", "yes", "yes no children", "Namespaces"),
    string("location", "", "Namespaces"),
    string("name", "", "Namespaces"),
    number("order", "0", "Namespaces"),
    string("prefix", "", "Namespaces"),
    string("separator", "", "Namespaces"),
    boolean("subscriptions", "yes", "Namespaces"),
    enum("type", "private", "private shared public", "Namespaces"),
)

FILE_LISTENER = (
    string("group", "", "Services"),
    octal("mode", "0600", "Services"),
    string("path", "", "Services"),
    string("user", "", "Services"),
)

INET_LISTENER = (
    string("address", "", "Services"),
    boolean("haproxy", "no", "HAProxy"),
    string("name", "", "Services"),
    port("port", "0", "Services"),
    boolean("reuse_port", "no", "Services"),
    boolean("ssl", "no", "Services"),
)

SERVICE = (
    string("chroot", "", "Services"),
    number("client_limit", "0", "Services"),
    boolean("drop_priv_before_exec", "no", "Services"),
    string("executable", "", "Services"),
    string("extra_groups", "", "Services"),
    string("group", "", "Services"),
    seconds("idle_kill", "0", "Services"),
    string("name", "", "Services"),
    string("privileged_group", "", "Services"),
    number("process_limit", "0", "Services"),
    number("process_min_avail", "0", "Services"),
    string("protocol", "", "Services"),
    number("service_count", "0", "Services"),
    string("type", "", "Services"),
    string("user", "", "Services"),
    size("vsz_limit", "18446744073709551615 B", "Services"),
)

BLOCKS: dict[str, tuple[Parameter, ...]] = {
    "passdb": PASSDB,
    "userdb": USERDB,
    "namespace": NAMESPACE,
    "namespace/mailbox": MAILBOX,
    "service": SERVICE,
    "service/unix_listener": FILE_LISTENER,
    "service/fifo_listener": FILE_LISTENER,
    "service/inet_listener": INET_LISTENER,
}
"""Every block with declared settings by its path; ``plugin`` and ``dict`` take any name and are not listed."""
