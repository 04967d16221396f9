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
    bounce.text("2bounce_notice_recipient", "postmaster", "Who gets undeliverable bounces.", least=1),
    bounce.boolean("backwards_bounce_logfile_compatibility", "yes", "Write bounce files that older releases can read."),
    bounce.text("bounce_notice_recipient", "postmaster", "Who gets copies of bounces.", least=1),
    qmgr.time("bounce_queue_lifetime", "5d", "How long a bounce is tried.", most=8640000),
    postconf.text("bounce_service_name", "bounce", "Service that makes bounces.", least=1),
    bounce.number("bounce_size_limit", "50000", "How much of the original a bounce contains, in bytes.", least=1),
    bounce.text("bounce_template_file", "", "File of bounce texts."),
    qmgr.boolean("confirm_delay_cleared", "no", "Tell the sender when delayed mail was delivered."),
    qmgr.number("default_delivery_slot_cost", "5", "Deliveries that earn a slot for overtaking."),
    qmgr.number(
        "default_delivery_slot_discount", "50", "Percentage of slots at which overtaking is allowed.", most=100
    ),
    qmgr.number("default_delivery_slot_loan", "3", "Slots that may be borrowed for overtaking."),
    postconf.text("default_delivery_status_filter", "", "Changes of delivery status codes and texts."),
    qmgr.number(
        "default_destination_concurrency_failed_cohort_limit",
        "1",
        "Failed rounds after which a destination counts as dead.",
    ),
    qmgr.number("default_destination_concurrency_limit", "20", "Parallel deliveries to one destination at most."),
    qmgr.text(
        "default_destination_concurrency_negative_feedback", "1", "How much a failure lowers the parallelism.", least=1
    ),
    qmgr.text(
        "default_destination_concurrency_positive_feedback", "1", "How much a success raises the parallelism.", least=1
    ),
    qmgr.time("default_destination_rate_delay", "0s", "Pause between deliveries to one destination."),
    qmgr.number("default_destination_recipient_limit", "50", "Recipients of one delivery at most."),
    qmgr.number("default_extra_recipient_limit", "1000", "Recipients in memory for overtaking messages."),
    qmgr.number("default_minimum_delivery_slots", "3", "Recipients a message needs before overtaking is considered."),
    qmgr.number("default_recipient_limit", "20000", "Recipients of one transport in memory."),
    qmgr.time("default_recipient_refill_delay", "5s", "Time after which more recipients are read.", least=1),
    qmgr.number("default_recipient_refill_limit", "100", "Recipients read at a time.", least=1),
    qmgr.time("default_transport_rate_delay", "0s", "Pause between deliveries of one transport."),
    smtpd.text("default_verp_delimiters", "+=", "Delimiters of variable envelope return paths.", least=2, most=2),
    qmgr.text("defer_transports", "", "Transports whose mail waits for an explicit flush."),
    smtp.number("delay_logging_resolution_limit", "2", "Digits of delays in the log.", most=6),
    bounce.text("delay_notice_recipient", "postmaster", "Who gets copies of delay notices.", least=1),
    cleanup.time("delay_warning_time", "0h", "Age at which the sender is told of the delay; 0 is never."),
    qmgr.boolean("destination_concurrency_feedback_debug", "no", "Log the parallelism control."),
    postconf.boolean("disable_verp_bounces", "no", "One bounce for all recipients."),
    smtpd.text("double_bounce_sender", "double-bounce", "Sender of mail whose failure is not reported.", least=1),
    cleanup.boolean("enable_long_queue_ids", "no", "Queue ids that are never used again."),
    bounce.boolean("enable_threaded_bounces", "no", "Let bounces refer to the original by In-Reply-To."),
    smtpd.text("error_notice_recipient", "postmaster", "Who gets transcripts of errors.", least=1),
    flush.text("fast_flush_domains", "$relay_domains", "Domains that can be flushed one by one (ETRN)."),
    flush.time("fast_flush_purge_time", "7d", "Age at which an unused flush list is deleted.", least=1),
    flush.time("fast_flush_refresh_time", "12h", "Age at which a flush list is tried.", least=1),
    local.boolean("frozen_delivered_to", "yes", "Keep the delivered-to address while aliases are expanded."),
    postsuper.number("hash_queue_depth", "1", "Levels of subdirectories in the queue.", least=1),
    postsuper.text("hash_queue_names", "deferred, defer", "Queues with subdirectories.", least=1),
    trivial_rewrite.boolean("helpful_warnings", "yes", "Log mistakes in the configuration."),
    cleanup.number("hopcount_limit", "50", "Received headers after which mail counts as looping.", least=1),
    cleanup.time("in_flow_delay", "1s", "Pause for new mail while more comes in than goes out.", most=10),
    qmgr.number("initial_destination_concurrency", "5", "Parallel deliveries to a destination to begin with.", least=1),
    local.text("local_delivery_status_filter", "$default_delivery_status_filter", "The same for local(8)."),
    qmgr.time("maximal_backoff_time", "4000s", "Pause between delivery attempts at most.", least=1),
    qmgr.time("maximal_queue_lifetime", "5d", "How long mail is tried before it is returned.", most=8640000),
    qmgr.time("minimal_backoff_time", "300s", "Pause between delivery attempts at least.", least=1),
    smtpd.text("notify_classes", "resource, software", "Events of which the postmaster is told."),
    pipe.text("pipe_delivery_status_filter", "$default_delivery_status_filter", "The same for pipe(8)."),
    qmgr.time("qmgr_clog_warn_time", "300s", "Pause between warnings of a clogged queue."),
    qmgr.time("qmgr_daemon_timeout", "1000s", "Time after which a stuck queue manager ends itself.", least=1),
    postconf.number("qmgr_fudge_factor", "100", "Unused; kept from an older queue manager.", least=10, most=100),
    qmgr.time("qmgr_ipc_timeout", "60s", "How long the queue manager's requests may take.", least=1),
    qmgr.number("qmgr_message_active_limit", "20000", "Messages in the active queue.", least=1),
    qmgr.number("qmgr_message_recipient_limit", "20000", "Recipients in memory.", least=1),
    qmgr.number("qmgr_message_recipient_minimum", "10", "Recipients in memory for any message.", least=1),
    smtpd.text("queue_directory", "/var/spool/postfix", "Directory of the queue.", least=1),
    cleanup.number("queue_file_attribute_count_limit", "100", "Attributes of a queue file.", least=1),
    smtpd.number(
        "queue_minfree", "0", "Free space that the queue leaves, in bytes; 0 is 1.5 times message_size_limit."
    ),
    qmgr.time("queue_run_delay", "300s", "Pause between scans of deferred mail.", least=1),
    postconf.text("queue_service_name", "qmgr", "Service that manages the queue.", least=1),
    smtpd.boolean("soft_bounce", "no", "Turn every final refusal into a temporary one, for tests."),
    qmgr.time("transport_retry_time", "60s", "Pause before a broken transport is tried again.", least=1),
    smtpd.text("verp_delimiter_filter", "-=+", "Characters allowed as VERP delimiters.", least=1),
    virtual.text("virtual_delivery_status_filter", "$default_delivery_status_filter", "The same for virtual(8)."),
)
