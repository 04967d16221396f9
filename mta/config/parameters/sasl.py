"""Parameters: SASL log-in at the SMTP server."""

from mta.config.parameter import Section

postdrop = Section("postdrop.1")
smtp = Section("smtp.8")
smtpd = Section("smtpd.8")

PARAMETERS = (
    smtpd.boolean("broken_sasl_auth_clients", "no", "Announce AUTH= too, for old clients."),
    smtpd.text("cyrus_sasl_config_path", "", "Directory of Cyrus SASL settings."),
    postdrop.text(
        "empty_address_local_login_sender_maps_lookup_key", "<>", "Key of the empty sender in local_login_sender_maps."
    ),
    postdrop.text("local_login_sender_maps", "static:*", "Sender addresses that a system user may use with sendmail."),
    smtp.boolean("send_cyrus_sasl_authzid", "no", "Send an authorization identity too."),
    smtpd.boolean("smtpd_sasl_auth_enable", "no", "Let clients log in.", serves="authenticated-relay"),
    smtpd.boolean(
        "smtpd_sasl_authenticated_header", "no", "Show the user in the Received header.", serves="authenticated-header"
    ),
    smtpd.text("smtpd_sasl_exceptions_networks", "", "Clients to which AUTH is not announced."),
    smtpd.text("smtpd_sasl_local_domain", "", "Realm of local users."),
    smtpd.text("smtpd_sasl_mechanism_filter", "!external, static:rest", "Mechanisms that are announced."),
    smtpd.text(
        "smtpd_sasl_path",
        "smtpd",
        "Socket or name of the authentication service.",
        least=1,
        serves="dovecot-auth-socket",
    ),
    smtpd.number("smtpd_sasl_response_limit", "12288", "Length of a client's response, in bytes.", least=12288),
    smtpd.text(
        "smtpd_sasl_security_options",
        "noanonymous",
        "Properties a mechanism must have without TLS.",
        serves="no-anonymous",
    ),
    smtpd.text("smtpd_sasl_service", "smtp", "Service name given to the authentication service.", least=1),
    smtpd.text(
        "smtpd_sasl_tls_security_options", "$smtpd_sasl_security_options", "Properties a mechanism must have with TLS."
    ),
    smtpd.text("smtpd_sasl_type", "cyrus", "Implementation of the SASL server.", least=1, serves="dovecot-auth-socket"),
    smtpd.text("smtpd_sender_login_maps", "", "Users that may use a sender address."),
)
