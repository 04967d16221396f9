"""Parameters of dovecot.conf that Dovecot does not have: hardmail's own, all named ``hardmail_``."""

from __future__ import annotations

from .declare import boolean, enum, number, seconds, string

PARAMETERS = (
    enum("hardmail_default_passwords", "refuse-network", "refuse-network refuse allow", "hardmail/default-passwords"),
    string("hardmail_hosts_allow", "", "hardmail/tcp-wrappers"),
    string("hardmail_hosts_deny", "", "hardmail/tcp-wrappers"),
    boolean("hardmail_imap_extensions", "no", "hardmail/imap-extensions"),
    boolean("hardmail_landlock", "yes", "hardmail/kernel-jail"),
    number("hardmail_lockout_account_failures", "0", "hardmail/failed-logins"),
    number("hardmail_lockout_address_failures", "0", "hardmail/failed-logins"),
    seconds("hardmail_lockout_time", "15 mins", "hardmail/failed-logins"),
    string("hardmail_mail_root", "", "hardmail/imap-path-escape"),
    seconds("hardmail_password_age", "365 days", "hardmail/default-passwords"),
    string("hardmail_openpgp_key", "", "hardmail/encrypted-at-rest"),
    boolean("hardmail_starttls_injection", "no", "hardmail/no-starttls-injection"),
)
