"""Parameters: the TLS proxy, whose settings repeat those of server and client."""

from mta.config.parameter import Section

postscreen = Section("postscreen.8")
tlsproxy = Section("tlsproxy.8")

_SERVER = """
CAfile CApath always_issue_session_ids ask_ccert ccert_verifydepth cert_file chain_files ciphers dcert_file
dh1024_param_file dh512_param_file dkey_file eccert_file eckey_file eecdh_grade exclude_ciphers
fingerprint_digest key_file loglevel mandatory_ciphers mandatory_exclude_ciphers mandatory_protocols protocols
req_ccert security_level
"""
_CLIENT = """
CAfile CApath cert_file chain_files dcert_file dkey_file eccert_file eckey_file fingerprint_digest key_file
loglevel per_site scert_verifydepth
"""

PARAMETERS = (
    tlsproxy.boolean("tlsproxy_client_enforce_tls", "$smtp_enforce_tls", "As smtp_enforce_tls."),
    tlsproxy.text(
        "tlsproxy_client_loglevel_parameter",
        "smtp_tls_loglevel",
        "Parameter that gives the log level of client sessions.",
    ),
    tlsproxy.text(
        "tlsproxy_client_policy_maps", "${tlsproxy_client_policy:$smtp_tls_policy_maps}", "As smtp_tls_policy_maps."
    ),
    tlsproxy.text(
        "tlsproxy_client_security_level",
        "${tlsproxy_client_level:$smtp_tls_security_level}",
        "As smtp_tls_security_level.",
    ),
    tlsproxy.boolean("tlsproxy_client_use_tls", "$smtp_use_tls", "As smtp_use_tls."),
    tlsproxy.boolean("tlsproxy_enforce_tls", "$smtpd_enforce_tls", "As smtpd_enforce_tls."),
    postscreen.text("tlsproxy_service_name", "tlsproxy", "Service that does TLS for others.", least=1),
    tlsproxy.boolean("tlsproxy_use_tls", "$smtpd_use_tls", "As smtpd_use_tls."),
    tlsproxy.time("tlsproxy_watchdog_timeout", "10s", "Time after which a stuck process ends itself.", least=10),
    *(tlsproxy.text(f"tlsproxy_tls_{name}", f"$smtpd_tls_{name}", f"As smtpd_tls_{name}.") for name in _SERVER.split()),
    *(
        tlsproxy.text(f"tlsproxy_client_{name}", f"$smtp_tls_{name}", f"As smtp_tls_{name}.")
        for name in _CLIENT.split()
    ),
)
