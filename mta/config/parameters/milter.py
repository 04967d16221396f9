"""Parameters: content filters: milters and content_filter."""

from mta.config.parameter import Section

cleanup = Section("cleanup.8")
qmgr = Section("qmgr.8")
smtpd = Section("smtpd.8")

PARAMETERS = (
    smtpd.text(
        "content_filter", "", "Transport that inspects mail after it is queued.", serves="spam-filter virus-filter"
    ),
    qmgr.text("default_filter_nexthop", "", "Next hop of FILTER and content_filter without one."),
    smtpd.time("milter_command_timeout", "30s", "How long a filter may take for an SMTP command.", least=1),
    smtpd.text("milter_connect_macros", "j {daemon_name} {daemon_addr} v _", "Macros sent when a client connects."),
    smtpd.time("milter_connect_timeout", "30s", "How long connecting to a filter may take.", least=1),
    smtpd.time("milter_content_timeout", "300s", "How long a filter may take for a message.", least=1),
    smtpd.text("milter_data_macros", "i", "Macros sent at DATA."),
    smtpd.text(
        "milter_default_action",
        "tempfail",
        "What happens when a filter does not work.",
        least=1,
        serves="spam-filter virus-filter",
    ),
    smtpd.text("milter_end_of_data_macros", "i", "Macros sent at the end of a message."),
    smtpd.text("milter_end_of_header_macros", "i", "Macros sent at the end of the headers."),
    cleanup.text("milter_header_checks", "", "Inspection of headers that filters add."),
    smtpd.text(
        "milter_helo_macros",
        "{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer}",
        "Macros sent at HELO.",
    ),
    smtpd.text("milter_macro_daemon_name", "$myhostname", "Value of the macro {daemon_name}.", least=1),
    smtpd.text("milter_macro_defaults", "", "Macros with values of their own."),
    smtpd.text("milter_macro_v", "$mail_name $mail_version", "Value of the macro v.", least=1),
    smtpd.text(
        "milter_mail_macros",
        "i {auth_type} {auth_authen} {auth_author} {mail_addr} {mail_host} {mail_mailer}",
        "Macros sent at MAIL.",
    ),
    smtpd.text("milter_protocol", "6", "Version of the filter protocol.", least=1),
    smtpd.text("milter_rcpt_macros", "i {rcpt_addr} {rcpt_host} {rcpt_mailer}", "Macros sent at RCPT."),
    smtpd.text("milter_unknown_command_macros", "", "Macros sent with unknown commands."),
    cleanup.text("non_smtpd_milters", "", "Filters for mail that does not come over SMTP."),
    smtpd.text("smtpd_milter_maps", "", "Filters by client address."),
    smtpd.text("smtpd_milters", "", "Filters for mail that comes over SMTP.", serves="spam-filter virus-filter"),
)
