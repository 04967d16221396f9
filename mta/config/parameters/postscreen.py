"""Parameters: the connection triage before the SMTP server."""

from mta.config.parameter import Section

postconf = Section("postconf.5")
postscreen = Section("postscreen.8")

PARAMETERS = (
    postconf.time("dnsblog_reply_delay", "0s", "Delay of DNS list answers, for tests."),
    postscreen.text("dnsblog_service_name", "dnsblog", "Service that asks DNS lists.", least=1),
    postscreen.text("postscreen_access_list", "permit_mynetworks", "Clients that pass or fail at once."),
    postscreen.text(
        "postscreen_allowlist_interfaces",
        "${postscreen_whitelist_interfaces?{$postscreen_whitelist_interfaces}:{static:all}}",
        "Local addresses on which a client can earn its pass.",
    ),
    postscreen.text("postscreen_bare_newline_action", "ignore", "What happens after a bare newline.", least=1),
    postscreen.boolean("postscreen_bare_newline_enable", "no", "Look for bare newlines."),
    postscreen.time("postscreen_bare_newline_ttl", "30d", "How long a pass of this test lasts.", least=1),
    postscreen.time("postscreen_cache_cleanup_interval", "12h", "Pause between clean-ups of the cache."),
    postscreen.text("postscreen_cache_map", "btree:$data_directory/postscreen_cache", "Table of passed tests."),
    postscreen.time("postscreen_cache_retention_time", "7d", "How long an expired entry is kept.", least=1),
    postscreen.number(
        "postscreen_client_connection_count_limit",
        "$smtpd_client_connection_count_limit",
        "Connections of one client at a time.",
    ),
    postscreen.number("postscreen_command_count_limit", "20", "Commands of one session.", least=1),
    postscreen.text("postscreen_command_filter", "", "Changes of client commands before use."),
    postscreen.time(
        "postscreen_command_time_limit", "${stress?{10}:{300}}s", "How long a client may take for a command.", least=1
    ),
    postscreen.text(
        "postscreen_denylist_action",
        "${postscreen_blacklist_action?{$postscreen_blacklist_action}:{ignore}}",
        "What happens to clients that the access list denies.",
        least=1,
    ),
    postscreen.boolean("postscreen_disable_vrfy_command", "$disable_vrfy_command", "Refuse VRFY."),
    postscreen.text(
        "postscreen_discard_ehlo_keyword_address_maps",
        "$smtpd_discard_ehlo_keyword_address_maps",
        "EHLO keywords withheld, by client address.",
    ),
    postscreen.text("postscreen_discard_ehlo_keywords", "$smtpd_discard_ehlo_keywords", "EHLO keywords withheld."),
    postscreen.text("postscreen_dnsbl_action", "ignore", "What happens to clients above the threshold.", least=1),
    postscreen.number(
        "postscreen_dnsbl_allowlist_threshold",
        "${postscreen_dnsbl_whitelist_threshold?{$postscreen_dnsbl_whitelist_threshold}:{0}}",
        "Score from which other tests are skipped.",
    ),
    postscreen.time(
        "postscreen_dnsbl_max_ttl",
        "${postscreen_dnsbl_ttl?{$postscreen_dnsbl_ttl}:{1}}h",
        "How long a DNS list answer counts at most.",
        least=1,
    ),
    postscreen.time("postscreen_dnsbl_min_ttl", "60s", "How long a DNS list answer counts at least.", least=1),
    postscreen.text("postscreen_dnsbl_reply_map", "", "Names shown instead of secret list names."),
    postscreen.text("postscreen_dnsbl_sites", "", "DNS lists with filters and weights."),
    postscreen.number("postscreen_dnsbl_threshold", "1", "Score from which a client is refused.", least=1),
    postscreen.time("postscreen_dnsbl_timeout", "10s", "How long DNS lists may take.", least=1),
    postscreen.boolean("postscreen_enforce_tls", "$smtpd_enforce_tls", "Old form of security level encrypt."),
    postscreen.raw(
        "postscreen_expansion_filter", "$smtpd_expansion_filter", "Characters allowed in reply texts.", least=1
    ),
    postscreen.text("postscreen_forbidden_commands", "$smtpd_forbidden_commands", "Commands that end the session."),
    postscreen.text(
        "postscreen_greet_action",
        "ignore",
        "What happens to clients that talk before the greeting.",
        least=1,
        serves="early-talkers",
    ),
    postscreen.text("postscreen_greet_banner", "$smtpd_banner", "First line of the two-part greeting."),
    postscreen.time("postscreen_greet_ttl", "1d", "How long a pass of the greet test lasts.", least=1),
    postscreen.time(
        "postscreen_greet_wait",
        "${stress?{2}:{6}}s",
        "How long the greeting is held back.",
        least=1,
        serves="early-talkers",
    ),
    postscreen.boolean("postscreen_helo_required", "$smtpd_helo_required", "Insist on HELO or EHLO."),
    postscreen.text(
        "postscreen_non_smtp_command_action", "drop", "What happens after a command that is not SMTP.", least=1
    ),
    postscreen.boolean("postscreen_non_smtp_command_enable", "no", "Look for commands that are not SMTP."),
    postscreen.time("postscreen_non_smtp_command_ttl", "30d", "How long a pass of this test lasts.", least=1),
    postscreen.text("postscreen_pipelining_action", "enforce", "What happens after unannounced pipelining.", least=1),
    postscreen.boolean("postscreen_pipelining_enable", "no", "Look for unannounced pipelining."),
    postscreen.time("postscreen_pipelining_ttl", "30d", "How long a pass of this test lasts.", least=1),
    postscreen.number(
        "postscreen_post_queue_limit", "$default_process_limit", "Passed clients waiting for a server process.", least=5
    ),
    postscreen.number(
        "postscreen_pre_queue_limit", "$default_process_limit", "Clients being tested at a time.", least=10
    ),
    postscreen.raw("postscreen_reject_footer", "$smtpd_reject_footer", "Text added to every refusal."),
    postscreen.text(
        "postscreen_reject_footer_maps",
        "$smtpd_reject_footer_maps",
        "Text added to a refusal, looked up by that refusal.",
    ),
    postscreen.text("postscreen_tls_security_level", "$smtpd_tls_security_level", "TLS level offered."),
    postscreen.text("postscreen_upstream_proxy_protocol", "", "Protocol of the proxy in front."),
    postscreen.time("postscreen_upstream_proxy_timeout", "5s", "How long the proxy's header may take.", least=1),
    postscreen.boolean("postscreen_use_tls", "$smtpd_use_tls", "Old form of security level may."),
    postscreen.time("postscreen_watchdog_timeout", "10s", "Time after which a stuck process ends itself.", least=10),
)
