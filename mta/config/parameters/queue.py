"""Parameters: the queue, its schedule, bounces and delivery status."""

from mta.config.parameter import Section

bounce = Section("bounce.8")
cleanup = Section("cleanup.8")
flush = Section("flush.8")
local = Section("local.8")
pipe = Section("pipe.8")
postconf = Section("postconf.5")
postsuper = Section("postsuper.1")
qmgr = Section("qmgr.8")
smtp = Section("smtp.8")
smtpd = Section("smtpd.8")
trivial_rewrite = Section("trivial-rewrite.8")
virtual = Section("virtual.8")

PARAMETERS = (
    bounce.text("2bounce_notice_recipient", "postmaster", "", least=1),
    bounce.boolean("backwards_bounce_logfile_compatibility", "yes", ""),
    bounce.text("bounce_notice_recipient", "postmaster", "", least=1),
    qmgr.time("bounce_queue_lifetime", "5d", "", most=8640000),
    postconf.text("bounce_service_name", "bounce", "", least=1),
    bounce.number("bounce_size_limit", "50000", "", least=1),
    bounce.text("bounce_template_file", "", ""),
    qmgr.boolean("confirm_delay_cleared", "no", ""),
    qmgr.number("default_delivery_slot_cost", "5", ""),
    qmgr.number("default_delivery_slot_discount", "50", "", most=100),
    qmgr.number("default_delivery_slot_loan", "3", ""),
    postconf.text("default_delivery_status_filter", "", ""),
    qmgr.number("default_destination_concurrency_failed_cohort_limit", "1", ""),
    qmgr.number("default_destination_concurrency_limit", "20", ""),
    qmgr.text("default_destination_concurrency_negative_feedback", "1", "", least=1),
    qmgr.text("default_destination_concurrency_positive_feedback", "1", "", least=1),
    qmgr.time("default_destination_rate_delay", "0s", ""),
    qmgr.number("default_destination_recipient_limit", "50", ""),
    qmgr.number("default_extra_recipient_limit", "1000", ""),
    qmgr.number("default_minimum_delivery_slots", "3", ""),
    qmgr.number("default_recipient_limit", "20000", ""),
    qmgr.time("default_recipient_refill_delay", "5s", "", least=1),
    qmgr.number("default_recipient_refill_limit", "100", "", least=1),
    qmgr.time("default_transport_rate_delay", "0s", ""),
    smtpd.text("default_verp_delimiters", "+=", "", least=2, most=2),
    qmgr.text("defer_transports", "", ""),
    smtp.number("delay_logging_resolution_limit", "2", "", most=6),
    bounce.text("delay_notice_recipient", "postmaster", "", least=1),
    cleanup.time("delay_warning_time", "0h", ""),
    qmgr.boolean("destination_concurrency_feedback_debug", "no", ""),
    postconf.boolean("disable_verp_bounces", "no", ""),
    smtpd.text("double_bounce_sender", "double-bounce", "", least=1),
    cleanup.boolean("enable_long_queue_ids", "no", ""),
    bounce.boolean("enable_threaded_bounces", "no", ""),
    smtpd.text("error_notice_recipient", "postmaster", "", least=1),
    flush.text("fast_flush_domains", "$relay_domains", ""),
    flush.time("fast_flush_purge_time", "7d", "", least=1),
    flush.time("fast_flush_refresh_time", "12h", "", least=1),
    local.boolean("frozen_delivered_to", "yes", ""),
    postsuper.number("hash_queue_depth", "1", "", least=1),
    postsuper.text("hash_queue_names", "deferred, defer", "", least=1),
    trivial_rewrite.boolean("helpful_warnings", "yes", ""),
    cleanup.number("hopcount_limit", "50", "", least=1),
    cleanup.time("in_flow_delay", "1s", "", most=10),
    qmgr.number("initial_destination_concurrency", "5", "", least=1),
    local.text("local_delivery_status_filter", "$default_delivery_status_filter", ""),
    qmgr.time("maximal_backoff_time", "4000s", "", least=1),
    qmgr.time("maximal_queue_lifetime", "5d", "", most=8640000),
    qmgr.time("minimal_backoff_time", "300s", "", least=1),
    smtpd.text("notify_classes", "resource, software", ""),
    pipe.text("pipe_delivery_status_filter", "$default_delivery_status_filter", ""),
    qmgr.time("qmgr_clog_warn_time", "300s", ""),
    qmgr.time("qmgr_daemon_timeout", "1000s", "", least=1),
    postconf.number("qmgr_fudge_factor", "100", "", least=10, most=100),
    qmgr.time("qmgr_ipc_timeout", "60s", "", least=1),
    qmgr.number("qmgr_message_active_limit", "20000", "", least=1),
    qmgr.number("qmgr_message_recipient_limit", "20000", "", least=1),
    qmgr.number("qmgr_message_recipient_minimum", "10", "", least=1),
    smtpd.text("queue_directory", "/var/spool/postfix", "", least=1),
    cleanup.number("queue_file_attribute_count_limit", "100", "", least=1),
    smtpd.number("queue_minfree", "0", ""),
    qmgr.time("queue_run_delay", "300s", "", least=1),
    postconf.text("queue_service_name", "qmgr", "", least=1),
    smtpd.boolean("soft_bounce", "no", ""),
    qmgr.time("transport_retry_time", "60s", "", least=1),
    smtpd.text("verp_delimiter_filter", "-=+", "", least=1),
    virtual.text("virtual_delivery_status_filter", "$default_delivery_status_filter", ""),
)
