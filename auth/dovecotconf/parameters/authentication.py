"""Parameters of dovecot.conf: authentication."""

from __future__ import annotations

from .declare import boolean, number, seconds, size, string

PARAMETERS = (
    string("auth_anonymous_username", "anonymous", "Authentication"),
    seconds("auth_cache_negative_ttl", "1 hours", "Authentication/Caching"),
    size("auth_cache_size", "0", "Authentication/Caching"),
    seconds("auth_cache_ttl", "1 hours", "Authentication/Caching"),
    boolean("auth_cache_verify_password_with_worker", "no", "Authentication/Caching"),
    boolean("auth_debug", "no", "Authentication"),
    boolean("auth_debug_passwords", "no", "Authentication"),
    string("auth_default_realm", "", "Authentication"),
    seconds("auth_failure_delay", "2 secs", "Authentication"),
    string("auth_gssapi_hostname", "", "Authentication/Kerberos"),
    string("auth_krb5_keytab", "", "Authentication/Kerberos"),
    string("auth_master_user_separator", "", "Authentication/MasterUsers"),
    string("auth_mechanisms", "plain", "Authentication/Mechanisms"),
    boolean("auth_policy_check_after_auth", "yes", "Authentication/Policy"),
    boolean("auth_policy_check_before_auth", "yes", "Authentication/Policy"),
    string("auth_policy_hash_mech", "sha256", "Authentication/Policy"),
    string("auth_policy_hash_nonce", "", "Authentication/Policy", secret=True),
    number("auth_policy_hash_truncate", "12", "Authentication/Policy"),
    boolean("auth_policy_log_only", "no", "Authentication/Policy"),
    boolean("auth_policy_reject_on_fail", "no", "Authentication/Policy"),
    boolean("auth_policy_report_after_auth", "yes", "Authentication/Policy"),
    string(
        "auth_policy_request_attributes",
        "login=%{requested_username} pwhash=%{hashed_password} remote=%{rip} device_id=%{client_id} "
        "protocol=%s session_id=%{session}",
        "Authentication/Policy",
    ),
    string("auth_policy_server_api_header", "", "Authentication/Policy", secret=True),
    number("auth_policy_server_timeout_msecs", "2000", "Authentication/Policy"),
    string("auth_policy_server_url", "", "Authentication/Policy"),
    string("auth_proxy_self", "", "Authentication"),
    string("auth_realms", "", "Authentication"),
    string("auth_socket_path", "auth-userdb", "Authentication"),
    boolean("auth_ssl_require_client_cert", "no", "Authentication"),
    boolean("auth_ssl_username_from_cert", "no", "Authentication"),
    boolean("auth_stats", "no", "Authentication"),
    boolean("auth_use_winbind", "no", "Authentication"),
    string(
        "auth_username_chars", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234567890.-_@", "Authentication"
    ),
    string("auth_username_format", "%Lu", "Authentication"),
    string("auth_username_translation", "", "Authentication"),
    boolean("auth_verbose", "no", "Authentication"),
    string("auth_verbose_passwords", "no", "Authentication"),
    string("auth_winbind_helper_path", "/usr/bin/ntlm_auth", "Authentication"),
    number("auth_worker_max_count", "30", "Authentication"),
    boolean("disable_plaintext_auth", "yes", "Authentication"),
    string("master_user_separator", "", "Authentication/MasterUsers"),
)
