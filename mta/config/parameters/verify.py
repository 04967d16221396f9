"""Parameters: address verification probes."""

from mta.config.parameter import Section

postconf = Section("postconf.5")
qmgr = Section("qmgr.8")
smtpd = Section("smtpd.8")
trivial_rewrite = Section("trivial-rewrite.8")
verify = Section("verify.8")

PARAMETERS = (
    verify.time("address_verify_cache_cleanup_interval", "12h", ""),
    trivial_rewrite.text("address_verify_default_transport", "$default_transport", "", least=1),
    trivial_rewrite.text("address_verify_local_transport", "$local_transport", "", least=1),
    verify.text("address_verify_map", "btree:$data_directory/verify_cache", ""),
    verify.boolean("address_verify_negative_cache", "yes", ""),
    verify.time("address_verify_negative_expire_time", "3d", "", least=1),
    verify.time("address_verify_negative_refresh_time", "3h", "", least=1),
    qmgr.number("address_verify_pending_request_limit", "5000", "", least=1),
    smtpd.number("address_verify_poll_count", "${stress?{1}:{3}}", "", least=1),
    smtpd.time("address_verify_poll_delay", "3s", "", least=1),
    verify.time("address_verify_positive_expire_time", "31d", "", least=1),
    verify.time("address_verify_positive_refresh_time", "7d", "", least=1),
    trivial_rewrite.text("address_verify_relay_transport", "$relay_transport", "", least=1),
    trivial_rewrite.text("address_verify_relayhost", "$relayhost", ""),
    smtpd.text("address_verify_sender", "$double_bounce_sender", ""),
    trivial_rewrite.text(
        "address_verify_sender_dependent_default_transport_maps", "$sender_dependent_default_transport_maps", ""
    ),
    trivial_rewrite.text("address_verify_sender_dependent_relayhost_maps", "$sender_dependent_relayhost_maps", ""),
    smtpd.time("address_verify_sender_ttl", "0s", ""),
    postconf.text("address_verify_service_name", "verify", "", least=1),
    trivial_rewrite.text("address_verify_transport_maps", "$transport_maps", ""),
    trivial_rewrite.text("address_verify_virtual_transport", "$virtual_transport", "", least=1),
    smtpd.number("unverified_recipient_defer_code", "450", "", least=200, most=499),
    smtpd.number("unverified_recipient_reject_code", "450", "", least=200, most=599),
    smtpd.text("unverified_recipient_reject_reason", "", ""),
    smtpd.text("unverified_recipient_tempfail_action", "$reject_tempfail_action", "", least=1),
    smtpd.number("unverified_sender_defer_code", "450", "", least=200, most=499),
    smtpd.number("unverified_sender_reject_code", "450", "", least=200, most=599),
    smtpd.text("unverified_sender_reject_reason", "", ""),
    smtpd.text("unverified_sender_tempfail_action", "$reject_tempfail_action", "", least=1),
)
