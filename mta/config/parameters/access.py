"""Parameters: restriction lists, access tables, policy service and reject codes of the SMTP server."""

from mta.config.parameter import Section

smtpd = Section("smtpd.8")

PARAMETERS = (
    smtpd.number("access_map_defer_code", "450", ""),
    smtpd.number("access_map_reject_code", "554", ""),
    smtpd.raw(
        "default_rbl_reply",
        "$rbl_code Service unavailable; $rbl_class [$rbl_what] blocked using $rbl_domain${rbl_reason?; $rbl_reason}",
        "",
        least=1,
    ),
    smtpd.number("defer_code", "450", ""),
    smtpd.number("invalid_hostname_reject_code", "501", ""),
    smtpd.number("maps_rbl_reject_code", "554", ""),
    smtpd.number("multi_recipient_bounce_reject_code", "550", ""),
    smtpd.number("non_fqdn_reject_code", "504", ""),
    smtpd.number("plaintext_reject_code", "450", ""),
    smtpd.text("rbl_reply_maps", "", ""),
    smtpd.number("reject_code", "554", ""),
    smtpd.text("reject_tempfail_action", "defer_if_permit", "", least=1),
    smtpd.number("relay_domains_reject_code", "554", ""),
    smtpd.text("smtpd_client_restrictions", "", ""),
    smtpd.text("smtpd_data_restrictions", "", ""),
    smtpd.boolean("smtpd_delay_reject", "yes", ""),
    smtpd.text("smtpd_end_of_data_restrictions", "", ""),
    smtpd.text("smtpd_etrn_restrictions", "", ""),
    smtpd.number("smtpd_forbid_bare_newline_reject_code", "550", "", least=500, most=599),
    smtpd.boolean("smtpd_helo_required", "no", ""),
    smtpd.text("smtpd_helo_restrictions", "", ""),
    smtpd.text("smtpd_log_access_permit_actions", "", ""),
    smtpd.text("smtpd_null_access_lookup_key", "<>", ""),
    smtpd.text("smtpd_policy_service_default_action", "451 4.3.5 Server configuration problem", "", least=1),
    smtpd.time("smtpd_policy_service_max_idle", "300s", "", least=1),
    smtpd.time("smtpd_policy_service_max_ttl", "1000s", "", least=1),
    smtpd.text("smtpd_policy_service_policy_context", "", ""),
    smtpd.number("smtpd_policy_service_request_limit", "0", ""),
    smtpd.time("smtpd_policy_service_retry_delay", "1s", "", least=1),
    smtpd.time("smtpd_policy_service_timeout", "100s", "", least=1),
    smtpd.number("smtpd_policy_service_try_limit", "2", "", least=1),
    smtpd.text("smtpd_recipient_restrictions", "", ""),
    smtpd.raw("smtpd_reject_footer", "", ""),
    smtpd.text("smtpd_reject_footer_maps", "", ""),
    smtpd.boolean("smtpd_reject_unlisted_recipient", "yes", ""),
    smtpd.boolean("smtpd_reject_unlisted_sender", "no", ""),
    smtpd.boolean(
        "smtpd_relay_before_recipient_restrictions", "${{$compatibility_level} <level {3.6} ? {no} : {yes}}", ""
    ),
    smtpd.text(
        "smtpd_relay_restrictions",
        (
            "${{$compatibility_level} <level {1} ? {} : {permit_mynetworks, permit_sasl_authenticated, "
            "defer_unauth_destination}}"
        ),
        "",
    ),
    smtpd.text("smtpd_restriction_classes", "", ""),
    smtpd.text("smtpd_sender_restrictions", "", ""),
    smtpd.number("unknown_address_reject_code", "450", ""),
    smtpd.text("unknown_address_tempfail_action", "$reject_tempfail_action", "", least=1),
    smtpd.number("unknown_client_reject_code", "450", ""),
    smtpd.text("unknown_helo_hostname_tempfail_action", "$reject_tempfail_action", "", least=1),
    smtpd.number("unknown_hostname_reject_code", "450", ""),
    smtpd.number("unknown_local_recipient_reject_code", "550", ""),
    smtpd.number("unknown_relay_recipient_reject_code", "550", ""),
    smtpd.number("unknown_virtual_alias_reject_code", "550", ""),
    smtpd.number("unknown_virtual_mailbox_reject_code", "550", ""),
)
