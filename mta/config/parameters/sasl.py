"""Parameters: SASL log-in at the SMTP server."""

from mta.config.parameter import Section

postdrop = Section("postdrop.1")
smtp = Section("smtp.8")
smtpd = Section("smtpd.8")

PARAMETERS = (
    smtpd.boolean("broken_sasl_auth_clients", "no", ""),
    smtpd.text("cyrus_sasl_config_path", "", ""),
    postdrop.text("empty_address_local_login_sender_maps_lookup_key", "<>", ""),
    postdrop.text("local_login_sender_maps", "static:*", ""),
    smtp.boolean("send_cyrus_sasl_authzid", "no", ""),
    smtpd.boolean("smtpd_sasl_auth_enable", "no", ""),
    smtpd.boolean("smtpd_sasl_authenticated_header", "no", ""),
    smtpd.text("smtpd_sasl_exceptions_networks", "", ""),
    smtpd.text("smtpd_sasl_local_domain", "", ""),
    smtpd.text("smtpd_sasl_mechanism_filter", "!external, static:rest", ""),
    smtpd.text("smtpd_sasl_path", "smtpd", "", least=1),
    smtpd.number("smtpd_sasl_response_limit", "12288", "", least=12288),
    smtpd.text("smtpd_sasl_security_options", "noanonymous", ""),
    smtpd.text("smtpd_sasl_service", "smtp", "", least=1),
    smtpd.text("smtpd_sasl_tls_security_options", "$smtpd_sasl_security_options", ""),
    smtpd.text("smtpd_sasl_type", "cyrus", "", least=1),
    smtpd.text("smtpd_sender_login_maps", "", ""),
)
