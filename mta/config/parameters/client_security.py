"""Parameters: TLS and SASL of the SMTP and LMTP clients."""

from mta.config.parameter import ClientSection, Section

smtp = Section("smtp.8")
# Declares smtp_NAME and lmtp_NAME at once; {} in a default stands for the same prefix.
both = ClientSection("smtp.8")

PARAMETERS = (
    *both.boolean("enforce_tls", "no", "Old form of security level encrypt or verify."),
    *both.text("sasl_auth_cache_name", "", "Table that remembers failed log-ins."),
    *both.time("sasl_auth_cache_time", "90d", "How long a failed log-in is remembered."),
    *both.boolean("sasl_auth_enable", "no", "Log in to servers that ask for it.", serves="smarthost-auth"),
    *both.boolean(
        "sasl_auth_soft_bounce", "yes", "Defer mail, instead of returning it, when the log-in is refused for good."
    ),
    *both.text("sasl_mechanism_filter", "", "Mechanisms of the server that are used."),
    *both.text(
        "sasl_password_maps", "", "User name and password by server, relayhost or sender.", serves="smarthost-auth"
    ),
    *both.text("sasl_path", "", "Implementation-specific path of the SASL client."),
    *both.text(
        "sasl_security_options",
        "noplaintext, noanonymous",
        "Properties a mechanism must have without TLS.",
        serves="smarthost-auth",
    ),
    *both.text(
        "sasl_tls_security_options",
        "${}_sasl_security_options",
        "Properties a mechanism must have with TLS.",
        serves="smarthost-auth",
    ),
    *both.text(
        "sasl_tls_verified_security_options",
        "${}_sasl_tls_security_options",
        "Properties a mechanism must have when the server's certificate is verified.",
    ),
    *both.text("sasl_type", "cyrus", "Implementation of the SASL client.", least=1),
    *both.boolean("sender_dependent_authentication", "no", "Log in by sender; keep connections of senders apart."),
    *both.time("starttls_timeout", "300s", "How long STARTTLS with its handshake may take.", least=1),
    *both.text(
        "tls_CAfile", "", "File of certificate authorities that servers are checked against.", serves="smarthost-tls"
    ),
    *both.text("tls_CApath", "", "Directory of such authorities."),
    *both.boolean("tls_block_early_mail_reply", "no", "Detect replies sent before MAIL, a sign of session hijacking."),
    *both.text("tls_cert_file", "", "Client certificate, RSA.", serves="tls-settings"),
    *both.text("tls_chain_files", "", "Files with key and certificate chain, in order."),
    *both.text("tls_ciphers", "medium", "Least cipher grade with opportunistic TLS.", least=1),
    *both.boolean("tls_connection_reuse", "no", "Reuse encrypted connections."),
    smtp.text(
        "smtp_tls_dane_insecure_mx_policy",
        "${{$smtp_tls_security_level} == {dane} ? {dane} : {may}}",
        "Level for MX hosts found without DNSSEC under dane.",
    ),
    *both.text("tls_dcert_file", "", "Client certificate, DSA."),
    *both.text("tls_dkey_file", "${}_tls_dcert_file", "Key of the DSA certificate."),
    *both.text("tls_eccert_file", "", "Client certificate, ECDSA."),
    *both.text("tls_eckey_file", "${}_tls_eccert_file", "Key of the ECDSA certificate."),
    *both.boolean("tls_enforce_peername", "yes", "Old form: the name in the certificate must be right."),
    *both.text("tls_exclude_ciphers", "", "Ciphers never used."),
    *both.text(
        "tls_fingerprint_cert_match",
        "",
        "Certificate fingerprints accepted at level fingerprint.",
        serves="smarthost-tls",
    ),
    *both.text(
        "tls_fingerprint_digest",
        "${{$compatibility_level} <level {3.6} ? {md5} : {sha256}}",
        "Digest of fingerprints.",
        least=1,
    ),
    *both.boolean(
        "tls_force_insecure_host_tlsa_lookup", "no", "Look for TLSA records even where the address is not secure."
    ),
    *both.text("tls_key_file", "${}_tls_cert_file", "Key of the RSA certificate.", serves="tls-settings"),
    *both.text("tls_loglevel", "0", "How much TLS is logged, 0 to 4.", serves="tls-settings"),
    *both.text("tls_mandatory_ciphers", "medium", "Least cipher grade with mandatory TLS.", least=1),
    *both.text("tls_mandatory_exclude_ciphers", "", "Ciphers never used with mandatory TLS."),
    *both.text("tls_mandatory_protocols", ">=TLSv1", "TLS versions with mandatory TLS.", serves="protocol-floor"),
    *both.boolean("tls_note_starttls_offer", "no", "Log servers that offer STARTTLS while TLS is off."),
    *both.text("tls_per_site", "", "Old form of the policy table.", serves="smarthost-tls"),
    *both.text("tls_policy_maps", "", "TLS policy by next hop.", serves="smarthost-tls"),
    *both.text("tls_protocols", ">=TLSv1", "TLS versions with opportunistic TLS.", serves="protocol-floor"),
    *both.number("tls_scert_verifydepth", "9", "Length of a certificate chain."),
    smtp.text("lmtp_tls_secure_cert_match", "nexthop", "Names accepted at level secure.", least=1),
    smtp.text(
        "smtp_tls_secure_cert_match",
        "nexthop, dot-nexthop",
        "Names accepted at level secure.",
        least=1,
        serves="smarthost-tls",
    ),
    *both.text(
        "tls_security_level",
        "",
        "Least TLS level: none, may, encrypt, verify, secure, fingerprint, dane.",
        serves="smarthost-tls",
    ),
    *both.text("tls_servername", "", "Name asked for in the handshake (SNI)."),
    *both.text("tls_session_cache_database", "", "Table of TLS sessions for resumption.", serves="tls-settings"),
    *both.time("tls_session_cache_timeout", "3600s", "How long a TLS session can be resumed.", most=8640000),
    *both.text("tls_trust_anchor_file", "", "Certificates trusted instead of all authorities."),
    *both.text("tls_verify_cert_match", "hostname", "Names accepted at level verify.", least=1, serves="smarthost-tls"),
    *both.boolean("tls_wrappermode", "no", "Begin with TLS, without STARTTLS."),
    *both.boolean("use_tls", "no", "Old form of security level may."),
)
