"""Parameters: the SMTP server: dialogue, clients and limits."""

from mta.config.parameter import Section

smtpd = Section("smtpd.8")

PARAMETERS = (
    smtpd.boolean("disable_vrfy_command", "no", "Refuse VRFY.", serves="no-user-enumeration"),
    smtpd.text("smtpd_authorized_verp_clients", "$authorized_verp_clients", "Clients that may use XVERP."),
    smtpd.text("smtpd_authorized_xclient_hosts", "", "Clients that may use XCLIENT."),
    smtpd.text("smtpd_authorized_xforward_hosts", "", "Clients that may use XFORWARD."),
    smtpd.text("smtpd_banner", "$myhostname ESMTP $mail_name", "Text of the greeting.", least=1),
    smtpd.number(
        "smtpd_client_auth_rate_limit",
        "0",
        "AUTH commands of one client in a time unit; 0 is no limit.",
        serves="connection-limits",
    ),
    smtpd.number(
        "smtpd_client_connection_count_limit",
        "50",
        "Connections of one client at a time; 0 is no limit.",
        serves="connection-limits",
    ),
    smtpd.number(
        "smtpd_client_connection_rate_limit",
        "0",
        "Connections of one client in a time unit; 0 is no limit.",
        serves="connection-limits",
    ),
    smtpd.text(
        "smtpd_client_event_limit_exceptions",
        "${smtpd_client_connection_limit_exceptions:$mynetworks}",
        "Clients without such limits.",
        serves="connection-limits",
    ),
    smtpd.number(
        "smtpd_client_message_rate_limit",
        "0",
        "Messages of one client in a time unit; 0 is no limit.",
        serves="connection-limits",
    ),
    smtpd.number(
        "smtpd_client_new_tls_session_rate_limit",
        "0",
        "New TLS sessions of one client in a time unit; 0 is no limit.",
        serves="connection-limits",
    ),
    smtpd.boolean("smtpd_client_port_logging", "no", "Log client ports."),
    smtpd.number(
        "smtpd_client_recipient_rate_limit",
        "0",
        "Recipients of one client in a time unit; 0 is no limit.",
        serves="connection-limits",
    ),
    smtpd.text("smtpd_command_filter", "", "Changes of client commands before use."),
    smtpd.boolean("smtpd_delay_open_until_valid_rcpt", "yes", "Begin a queue entry at the first good recipient."),
    smtpd.text("smtpd_discard_ehlo_keyword_address_maps", "", "EHLO keywords withheld, by client address."),
    smtpd.text("smtpd_discard_ehlo_keywords", "", "EHLO keywords withheld."),
    smtpd.text("smtpd_dns_reply_filter", "", "Changes of DNS replies before use."),
    smtpd.time("smtpd_error_sleep_time", "1s", "Pause before replies to a client that makes errors."),
    smtpd.raw(
        "smtpd_expansion_filter",
        "\\t\\40!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\\\]^_`abcdefghijklmnopqrstuvwxyz{|}~",
        "Characters allowed in reply texts.",
        least=1,
    ),
    smtpd.text(
        "smtpd_forbid_bare_newline",
        "no",
        "Refuse or mend lines that end in a bare newline (SMTP smuggling).",
        least=1,
        serves="no-smuggling",
    ),
    smtpd.text(
        "smtpd_forbid_bare_newline_exclusions",
        "$mynetworks",
        "Clients excepted from smtpd_forbid_bare_newline.",
        serves="no-smuggling",
    ),
    smtpd.boolean(
        "smtpd_forbid_unauth_pipelining",
        "no",
        "Disconnect clients that pipeline where they may not.",
        serves="early-talkers",
    ),
    smtpd.text(
        "smtpd_forbidden_commands", "CONNECT GET POST regexp:{{/^[^A-Z]/ Bogus}}", "Commands that end the session."
    ),
    smtpd.number("smtpd_hard_error_limit", "${stress?{1}:{20}}", "Errors after which the session ends.", least=1),
    smtpd.number("smtpd_history_flush_threshold", "100", "Lines of history kept for error reports.", least=1),
    smtpd.number(
        "smtpd_junk_command_limit", "${stress?{1}:{100}}", "Commands without mail before they count as errors.", least=1
    ),
    smtpd.number("smtpd_min_data_rate", "500", "Least bytes a second when deadlines are per request.", least=1),
    smtpd.text("smtpd_noop_commands", "", "Commands answered like NOOP."),
    smtpd.boolean("smtpd_peername_lookup", "yes", "Look up client names."),
    smtpd.boolean(
        "smtpd_per_request_deadline",
        "${smtpd_per_record_deadline?{$smtpd_per_record_deadline}:{${stress?{yes}:{no}}}}",
        "Apply time limits to whole requests instead of single reads.",
    ),
    smtpd.text("smtpd_proxy_ehlo", "$myhostname", "Name given to the proxy filter."),
    smtpd.text("smtpd_proxy_filter", "", "Content filter between client and queue, spoken to by SMTP."),
    smtpd.text("smtpd_proxy_options", "", "Options of the proxy filter."),
    smtpd.time("smtpd_proxy_timeout", "100s", "How long the proxy filter may take.", least=1),
    smtpd.number("smtpd_recipient_limit", "1000", "Recipients of one message at most.", least=1),
    smtpd.number("smtpd_recipient_overshoot_limit", "1000", "Further recipients before they count as errors.", least=1),
    smtpd.number("smtpd_soft_error_limit", "10", "Errors after which replies are delayed.", least=1),
    smtpd.time("smtpd_timeout", "${stress?{10}:{300}}s", "How long a client may take.", least=1),
    smtpd.text("smtpd_upstream_proxy_protocol", "", "Protocol of the proxy in front."),
    smtpd.time("smtpd_upstream_proxy_timeout", "5s", "How long the proxy's header may take.", least=1),
    smtpd.boolean("strict_rfc821_envelopes", "no", "Insist on addresses in brackets, without comments."),
    smtpd.boolean("strict_smtputf8", "no", "Insist on announced SMTPUTF8."),
)
