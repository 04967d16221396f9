"""Parameters: restriction lists, access tables, policy service and reject codes of the SMTP server."""

from mta.config.parameter import Section

smtpd = Section("smtpd.8")

PARAMETERS = (
    smtpd.number("access_map_defer_code", "450", "Reply code of a plain DEFER result."),
    smtpd.number("access_map_reject_code", "554", "Reply code of a plain REJECT result."),
    smtpd.raw(
        "default_rbl_reply",
        "$rbl_code Service unavailable; $rbl_class [$rbl_what] blocked using $rbl_domain${rbl_reason?; $rbl_reason}",
        "Template of the reply to a client or name on a DNS list.",
        least=1,
        serves="dns-blocklists",
    ),
    smtpd.number("defer_code", "450", "Reply code of the restriction defer."),
    smtpd.number("invalid_hostname_reject_code", "501", "Reply code for a malformed HELO name.", serves="helo-checks"),
    smtpd.number("maps_rbl_reject_code", "554", "Reply code for whatever a DNS list names.", serves="dns-blocklists"),
    smtpd.number("multi_recipient_bounce_reject_code", "550", "Reply code for bounces with several recipients."),
    smtpd.number(
        "non_fqdn_reject_code",
        "504",
        "Reply code for names and addresses without a full domain.",
        serves="helo-checks sender-checks",
    ),
    smtpd.number("plaintext_reject_code", "450", "Reply code for sessions without encryption."),
    smtpd.text("rbl_reply_maps", "", "Reply templates by DNS list.", serves="dns-blocklists"),
    smtpd.number("reject_code", "554", "Reply code of the restriction reject."),
    smtpd.text(
        "reject_tempfail_action",
        "defer_if_permit",
        "What happens when a check that would reject cannot be made now.",
        least=1,
    ),
    smtpd.number(
        "relay_domains_reject_code", "554", "Reply code for mail that may not be relayed.", serves="no-open-relay"
    ),
    smtpd.text(
        "smtpd_client_restrictions",
        "",
        "Restrictions judged on the connection.",
        serves="reverse-dns dns-blocklists local-blacklist",
    ),
    smtpd.text("smtpd_data_restrictions", "", "Restrictions judged at DATA."),
    smtpd.boolean(
        "smtpd_delay_reject", "yes", "Wait for RCPT before refusing, so that the log tells sender and recipient."
    ),
    smtpd.text("smtpd_end_of_data_restrictions", "", "Restrictions judged at the end of the message."),
    smtpd.text("smtpd_etrn_restrictions", "", "Restrictions judged at ETRN."),
    smtpd.number(
        "smtpd_forbid_bare_newline_reject_code",
        "550",
        "Reply code for lines that end in a bare newline.",
        least=500,
        most=599,
    ),
    smtpd.boolean("smtpd_helo_required", "no", "Insist on HELO or EHLO before mail.", serves="helo-checks"),
    smtpd.text("smtpd_helo_restrictions", "", "Restrictions judged at HELO.", serves="local-blacklist helo-checks"),
    smtpd.text("smtpd_log_access_permit_actions", "", "Permit decisions that are logged."),
    smtpd.text("smtpd_null_access_lookup_key", "<>", "Key that stands for the empty sender in access tables."),
    smtpd.text(
        "smtpd_policy_service_default_action",
        "451 4.3.5 Server configuration problem",
        "Action when the policy service does not answer.",
        least=1,
        serves="spf",
    ),
    smtpd.time("smtpd_policy_service_max_idle", "300s", "How long an unused policy connection stays open.", least=1),
    smtpd.time("smtpd_policy_service_max_ttl", "1000s", "How long a policy connection is used at most.", least=1),
    smtpd.text("smtpd_policy_service_policy_context", "", "Text passed on to the policy service."),
    smtpd.number("smtpd_policy_service_request_limit", "0", "Requests per policy connection; 0 is no limit."),
    smtpd.time("smtpd_policy_service_retry_delay", "1s", "Pause before the policy service is asked again.", least=1),
    smtpd.time("smtpd_policy_service_timeout", "100s", "How long the policy service may take.", least=1),
    smtpd.number(
        "smtpd_policy_service_try_limit", "2", "How often the policy service is asked before giving up.", least=1
    ),
    smtpd.text(
        "smtpd_recipient_restrictions",
        "",
        "Restrictions judged at RCPT, after the relay restrictions.",
        serves="local-blacklist spf no-open-relay",
    ),
    smtpd.raw("smtpd_reject_footer", "", "Text added to every refusal."),
    smtpd.text("smtpd_reject_footer_maps", "", "Text added to a refusal, looked up by that refusal."),
    smtpd.boolean(
        "smtpd_reject_unlisted_recipient", "yes", "Refuse recipients that no table lists.", serves="recipient-verify"
    ),
    smtpd.boolean("smtpd_reject_unlisted_sender", "no", "Refuse senders of own domains that no table lists."),
    smtpd.boolean(
        "smtpd_relay_before_recipient_restrictions",
        "${{$compatibility_level} <level {3.6} ? {no} : {yes}}",
        "Judge the relay restrictions before the recipient restrictions.",
    ),
    smtpd.text(
        "smtpd_relay_restrictions",
        (
            "${{$compatibility_level} <level {1} ? {} : {permit_mynetworks, permit_sasl_authenticated, "
            "defer_unauth_destination}}"
        ),
        "Restrictions that decide who may send mail to other domains.",
        serves="no-open-relay authenticated-relay",
    ),
    smtpd.text("smtpd_restriction_classes", "", "Names of restriction lists that access tables may use as a result."),
    smtpd.text("smtpd_sender_restrictions", "", "Restrictions judged at MAIL.", serves="local-blacklist sender-checks"),
    smtpd.number(
        "unknown_address_reject_code",
        "450",
        "Reply code for addresses whose domain has no mail host.",
        serves="sender-checks",
    ),
    smtpd.text(
        "unknown_address_tempfail_action",
        "$reject_tempfail_action",
        "What happens when an address's domain cannot be asked now.",
        least=1,
    ),
    smtpd.number(
        "unknown_client_reject_code", "450", "Reply code for clients without a proper host name.", serves="reverse-dns"
    ),
    smtpd.text(
        "unknown_helo_hostname_tempfail_action",
        "$reject_tempfail_action",
        "What happens when a HELO name cannot be asked now.",
        least=1,
    ),
    smtpd.number(
        "unknown_hostname_reject_code", "450", "Reply code for HELO names that do not exist.", serves="reverse-dns"
    ),
    smtpd.number("unknown_local_recipient_reject_code", "550", "Reply code for local recipients that do not exist."),
    smtpd.number(
        "unknown_relay_recipient_reject_code",
        "550",
        "Reply code for recipients that relay_recipient_maps does not list.",
    ),
    smtpd.number(
        "unknown_virtual_alias_reject_code", "550", "Reply code for recipients that virtual_alias_maps does not list."
    ),
    smtpd.number(
        "unknown_virtual_mailbox_reject_code",
        "550",
        "Reply code for recipients that virtual_mailbox_maps does not list.",
    ),
)
