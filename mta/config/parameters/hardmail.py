"""Parameters: hardmail's own, which Postfix does not have."""

from mta.config.parameter import Section

own = Section("hardmail")

PARAMETERS = (
    own.text("hardmail_nameservers", "", "DNS servers to ask, as address or address:port; empty: /etc/resolv.conf."),
    own.time("hardmail_dns_timeout", "5s", "How long one DNS server may take to answer.", least=1, most=300),
    own.time("hardmail_dns_lifetime", "15s", "How long one DNS lookup may take in all.", least=1, most=600),
    own.time("hardmail_dns_cache_time", "1h", "How long a DNS answer is kept at most, whatever its TTL.", most=86400),
    own.number("hardmail_dns_cache_limit", "10000", "How many DNS answers are kept at most.", least=1, most=1000000),
    own.number("hardmail_dns_concurrency", "200", "How many DNS lookups run at once in a process.", least=1),
    own.text("hardmail_hosts_file", "/etc/hosts", "File of host names consulted where the system's own would be."),
    own.boolean(
        "hardmail_starttls_injection",
        "no",
        "Take what a client says behind STARTTLS as if TLS protected it (CVE-2011-0411); for a weakened twin.",
        serves="no-starttls-injection",
    ),
    own.boolean(
        "hardmail_simulated_clock",
        "no",
        "Whether `hardmail clock` may move the time of this instance's queue ahead, for exercises and tests.",
    ),
    own.text(
        "hardmail_delivery_directories",
        "",
        "Where delivery commands and /file destinations may write, beside homes, mail spool and temporary directories.",
        serves="kernel-jail",
    ),
    own.boolean(
        "hardmail_landlock", "yes", "Confine the processes by Landlock; off in a weakened twin.", serves="kernel-jail"
    ),
    own.text(
        "hardmail_hosts_allow",
        "",
        "File of clients that smtpd takes, in the language of hosts_access(5), its daemon name smtpd; empty: none.",
        serves="tcp-wrappers",
    ),
    own.text(
        "hardmail_hosts_deny",
        "",
        "File of clients that smtpd drops before it greets them, unless hardmail_hosts_allow has them; empty: none.",
        serves="tcp-wrappers",
    ),
    own.number(
        "hardmail_smtpd_processes",
        "0",
        "Processes of an smtpd line; its maxproc limits the sessions of them all. 0: one for each processor but one.",
        most=256,
        serves="connection-limits",
    ),
    own.boolean(
        "hardmail_authentication_results",
        "no",
        "Whether accepted mail gets an Authentication-Results header with what SPF, DKIM and DMARC say (RFC 8601).",
    ),
    own.boolean(
        "hardmail_authentication_warnings",
        "no",
        "Whether the sendmail command notes in X-Authentication-Warning who chose another sender with -f.",
        serves="auth-warnings",
    ),
    own.text(
        "hardmail_trusted_users",
        "root, daemon, uucp",
        "Who may choose any sender with -f without hardmail_authentication_warnings.",
        serves="auth-warnings",
    ),
    own.text(
        "hardmail_authserv_id",
        "$myhostname",
        "The name in Authentication-Results that our own results go by; fields that arrive with it are removed.",
    ),
    own.text(
        "hardmail_spf_skip_addresses",
        "127.0.0.0/8, ::1",
        "Clients that the policy service asks nothing about (skip_addresses of policyd-spf).",
        serves="spf",
    ),
)
