"""Parameters: content filters: milters and content_filter."""

from mta.config.parameter import Section

cleanup = Section("cleanup.8")
qmgr = Section("qmgr.8")
smtpd = Section("smtpd.8")

PARAMETERS = (
    smtpd.text("content_filter", "", ""),
    qmgr.text("default_filter_nexthop", "", ""),
    smtpd.time("milter_command_timeout", "30s", "", least=1),
    smtpd.text("milter_connect_macros", "j {daemon_name} {daemon_addr} v _", ""),
    smtpd.time("milter_connect_timeout", "30s", "", least=1),
    smtpd.time("milter_content_timeout", "300s", "", least=1),
    smtpd.text("milter_data_macros", "i", ""),
    smtpd.text("milter_default_action", "tempfail", "", least=1),
    smtpd.text("milter_end_of_data_macros", "i", ""),
    smtpd.text("milter_end_of_header_macros", "i", ""),
    cleanup.text("milter_header_checks", "", ""),
    smtpd.text("milter_helo_macros", "{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer}", ""),
    smtpd.text("milter_macro_daemon_name", "$myhostname", "", least=1),
    smtpd.text("milter_macro_defaults", "", ""),
    smtpd.text("milter_macro_v", "$mail_name $mail_version", "", least=1),
    smtpd.text(
        "milter_mail_macros", "i {auth_type} {auth_authen} {auth_author} {mail_addr} {mail_host} {mail_mailer}", ""
    ),
    smtpd.text("milter_protocol", "6", "", least=1),
    smtpd.text("milter_rcpt_macros", "i {rcpt_addr} {rcpt_host} {rcpt_mailer}", ""),
    smtpd.text("milter_unknown_command_macros", "", ""),
    cleanup.text("non_smtpd_milters", "", ""),
    smtpd.text("smtpd_milter_maps", "", ""),
    smtpd.text("smtpd_milters", "", ""),
)
