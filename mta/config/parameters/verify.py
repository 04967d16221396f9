"""Parameters: address verification probes."""

from mta.config.parameter import Section

postconf = Section("postconf.5")
qmgr = Section("qmgr.8")
smtpd = Section("smtpd.8")
trivial_rewrite = Section("trivial-rewrite.8")
verify = Section("verify.8")

PARAMETERS = (
    verify.time("address_verify_cache_cleanup_interval", "12h", "Pause between clean-ups of the table of probes."),
    trivial_rewrite.text(
        "address_verify_default_transport", "$default_transport", "As default_transport, for probes.", least=1
    ),
    trivial_rewrite.text(
        "address_verify_local_transport", "$local_transport", "As local_transport, for probes.", least=1
    ),
    verify.text("address_verify_map", "btree:$data_directory/verify_cache", "Table of probe results."),
    verify.boolean("address_verify_negative_cache", "yes", "Remember negative results."),
    verify.time("address_verify_negative_expire_time", "3d", "How long a negative result counts.", least=1),
    verify.time(
        "address_verify_negative_refresh_time", "3h", "Age at which a negative result is probed again.", least=1
    ),
    qmgr.number("address_verify_pending_request_limit", "5000", "Probes under way.", least=1),
    smtpd.number(
        "address_verify_poll_count", "${stress?{1}:{3}}", "How often a session asks for a probe's result.", least=1
    ),
    smtpd.time("address_verify_poll_delay", "3s", "Pause between these questions.", least=1),
    verify.time("address_verify_positive_expire_time", "31d", "How long a positive result counts.", least=1),
    verify.time(
        "address_verify_positive_refresh_time", "7d", "Age at which a positive result is probed again.", least=1
    ),
    trivial_rewrite.text(
        "address_verify_relay_transport", "$relay_transport", "As relay_transport, for probes.", least=1
    ),
    trivial_rewrite.text("address_verify_relayhost", "$relayhost", "As relayhost, for probes."),
    smtpd.text("address_verify_sender", "$double_bounce_sender", "Sender of probes."),
    trivial_rewrite.text(
        "address_verify_sender_dependent_default_transport_maps",
        "$sender_dependent_default_transport_maps",
        "As sender_dependent_default_transport_maps, for probes.",
    ),
    trivial_rewrite.text(
        "address_verify_sender_dependent_relayhost_maps",
        "$sender_dependent_relayhost_maps",
        "As sender_dependent_relayhost_maps, for probes.",
    ),
    smtpd.time("address_verify_sender_ttl", "0s", "How long the probes' sender keeps its name; 0 is for ever."),
    postconf.text("address_verify_service_name", "verify", "Service that probes addresses.", least=1),
    trivial_rewrite.text("address_verify_transport_maps", "$transport_maps", "As transport_maps, for probes."),
    trivial_rewrite.text(
        "address_verify_virtual_transport", "$virtual_transport", "As virtual_transport, for probes.", least=1
    ),
    smtpd.number(
        "unverified_recipient_defer_code",
        "450",
        "Reply code while a recipient's probe is under way.",
        least=200,
        most=499,
    ),
    smtpd.number(
        "unverified_recipient_reject_code",
        "450",
        "Reply code for recipients that a probe found bad.",
        least=200,
        most=599,
    ),
    smtpd.text("unverified_recipient_reject_reason", "", "Text instead of the probe's own reason."),
    smtpd.text(
        "unverified_recipient_tempfail_action",
        "$reject_tempfail_action",
        "What happens while a recipient's probe is under way.",
        least=1,
    ),
    smtpd.number(
        "unverified_sender_defer_code", "450", "Reply code while a sender's probe is under way.", least=200, most=499
    ),
    smtpd.number(
        "unverified_sender_reject_code", "450", "Reply code for senders that a probe found bad.", least=200, most=599
    ),
    smtpd.text("unverified_sender_reject_reason", "", "Text instead of the probe's own reason."),
    smtpd.text(
        "unverified_sender_tempfail_action",
        "$reject_tempfail_action",
        "What happens while a sender's probe is under way.",
        least=1,
    ),
)
