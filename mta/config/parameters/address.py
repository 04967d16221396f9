"""Parameters: who this host is, address classes, address rewriting and where mail goes."""

from mta.config.parameter import Section

cleanup = Section("cleanup.8")
postconf = Section("postconf.5")
smtpd = Section("smtpd.8")
trivial_rewrite = Section("trivial-rewrite.8")

PARAMETERS = (
    trivial_rewrite.boolean("allow_percent_hack", "yes", "Read user%domain as user@domain.", serves="no-open-relay"),
    cleanup.text("always_bcc", "", "Address that gets a copy of every message."),
    trivial_rewrite.boolean("append_at_myorigin", "yes", "Append @$myorigin to addresses without a domain."),
    trivial_rewrite.boolean(
        "append_dot_mydomain",
        "${{$compatibility_level} <level {1} ? {yes} : {no}}",
        "Append .$mydomain to host names without a dot.",
    ),
    cleanup.text(
        "canonical_classes",
        "envelope_sender, envelope_recipient, header_sender, header_recipient",
        "Where canonical_maps applies: envelope, headers, sender, recipient.",
        least=1,
    ),
    smtpd.text("canonical_maps", "", "Address rewriting for all mail, canonical(5)."),
    trivial_rewrite.text("default_transport", "smtp", "Transport for domains that no other class claims.", least=1),
    trivial_rewrite.text(
        "empty_address_default_transport_maps_lookup_key",
        "<>",
        "Key of the empty sender in sender_dependent_default_transport_maps.",
        least=1,
    ),
    cleanup.text("empty_address_recipient", "MAILER-DAEMON", "Who gets mail for the empty address.", least=1),
    trivial_rewrite.text(
        "empty_address_relayhost_maps_lookup_key",
        "<>",
        "Key of the empty sender in sender_dependent_relayhost_maps.",
        least=1,
    ),
    smtpd.boolean(
        "enable_idna2003_compatibility", "no", "Convert international domain names by the rules of IDNA 2003."
    ),
    smtpd.text("header_from_format", "standard", "How a From header made by the system is written.", least=1),
    smtpd.text("inet_interfaces", "all", "Addresses on which mail is received.", serves="loopback-only null-client"),
    smtpd.text("inet_protocols", "all", "Internet protocols in use: all, ipv4, ipv6.", serves="inet-protocols"),
    smtpd.text(
        "local_header_rewrite_clients",
        "permit_inet_interfaces",
        "Clients whose incomplete header addresses are completed.",
    ),
    smtpd.text(
        "local_recipient_maps",
        "proxy:unix:passwd.byname $alias_maps",
        "Tables that list all local recipients; empty accepts any.",
        serves="recipient-verify",
    ),
    trivial_rewrite.text(
        "local_transport", "local:$myhostname", "Transport for local domains.", least=1, serves="relay-only"
    ),
    cleanup.text(
        "masquerade_classes", "envelope_sender, header_sender, header_recipient", "Where masquerade_domains applies."
    ),
    cleanup.text("masquerade_domains", "", "Domains whose subdomains are hidden."),
    cleanup.text("masquerade_exceptions", "", "Users whose domain is never hidden."),
    smtpd.text(
        "mydestination",
        "$myhostname, localhost.$mydomain, localhost",
        "Domains delivered locally.",
        serves="local-domains null-client",
    ),
    postconf.text("mydomain", "", "The system's own domain.", least=1),
    smtpd.text("myhostname", "", "The system's own name.", least=1),
    smtpd.text("mynetworks", "", "Clients that are trusted to relay.", serves="trusted-networks"),
    postconf.text(
        "mynetworks_style",
        "${{$compatibility_level} <level {2} ? {subnet} : {host}}",
        "How mynetworks is made when it is not set: class, subnet or host.",
        least=1,
        serves="trusted-networks",
    ),
    smtpd.text("myorigin", "$myhostname", "Domain of mail that is posted here.", least=1),
    smtpd.text(
        "parent_domain_matches_subdomains",
        (
            "debug_peer_list,fast_flush_domains,mynetworks,permit_mx_backup_networks,qmqpd_authorized_clients,rel"
            "ay_domains,smtpd_access_maps"
        ),
        "Parameters in which example.com also means its subdomains.",
    ),
    smtpd.text("permit_mx_backup_networks", "", "Networks of primary mail hosts for which this host may be a backup."),
    smtpd.text("proxy_interfaces", "", "Addresses on which mail is received through a proxy or translator."),
    cleanup.text("recipient_bcc_maps", "", "Copies of mail by recipient."),
    cleanup.text(
        "recipient_canonical_classes",
        "envelope_recipient, header_recipient",
        "Where recipient_canonical_maps applies.",
        least=1,
    ),
    smtpd.text("recipient_canonical_maps", "", "Address rewriting for recipients."),
    smtpd.text(
        "relay_domains",
        "${{$compatibility_level} <level {2} ? {$mydestination} : {}}",
        "Domains to which mail is relayed for everyone.",
        serves="backup-mx",
    ),
    smtpd.text(
        "relay_recipient_maps",
        "",
        "Tables that list all recipients in relay_domains; empty accepts any.",
        serves="recipient-verify backup-mx",
    ),
    trivial_rewrite.text("relay_transport", "relay", "Transport for relay_domains.", least=1),
    trivial_rewrite.text(
        "relayhost",
        "",
        "Where mail to other hosts goes: [host]:port without MX lookup, or a domain.",
        serves="null-client relay-only",
    ),
    trivial_rewrite.text("relocated_maps", "", "Users that have moved, relocated(5)."),
    cleanup.text(
        "remote_header_rewrite_domain",
        "",
        "Domain that completes header addresses from remote clients; empty leaves them alone.",
    ),
    trivial_rewrite.boolean(
        "resolve_dequoted_address", "yes", "Look for routing inside quoted local parts.", serves="no-open-relay"
    ),
    trivial_rewrite.boolean("resolve_null_domain", "no", "Read user@ as a local address."),
    trivial_rewrite.boolean("resolve_numeric_domain", "no", "Read user@1.2.3.4 as user@[1.2.3.4]."),
    cleanup.text("sender_bcc_maps", "", "Copies of mail by sender."),
    cleanup.text(
        "sender_canonical_classes", "envelope_sender, header_sender", "Where sender_canonical_maps applies.", least=1
    ),
    smtpd.text("sender_canonical_maps", "", "Address rewriting for senders."),
    trivial_rewrite.text(
        "sender_dependent_default_transport_maps", "", "Transport by sender, instead of default_transport."
    ),
    trivial_rewrite.text("sender_dependent_relayhost_maps", "", "Relay host by sender, instead of relayhost."),
    smtpd.text(
        "smtputf8_autodetect_classes",
        "sendmail, verify",
        "Mail sources whose messages are examined for international addresses.",
        least=1,
    ),
    smtpd.boolean(
        "smtputf8_enable",
        "${{$compatibility_level} <level {1} ? {no} : {yes}}",
        "Support international mail, RFC 6531.",
    ),
    trivial_rewrite.boolean("swap_bangpath", "yes", "Read site!user as user@site.", serves="no-open-relay"),
    trivial_rewrite.text(
        "transport_maps", "", "Transport and next hop by recipient, transport(5).", serves="backup-mx transport-maps"
    ),
    cleanup.text("undisclosed_recipients_header", "", "Header added to mail without recipient headers."),
    cleanup.number(
        "virtual_alias_address_length_limit", "1000", "Length of an address that virtual aliasing may make.", least=1
    ),
    smtpd.text(
        "virtual_alias_domains",
        "$virtual_alias_maps",
        "Domains whose addresses are all aliases to other domains.",
        serves="virtual-aliases",
    ),
    cleanup.number(
        "virtual_alias_expansion_limit", "1000", "Addresses that virtual aliasing may make of one.", least=1
    ),
    smtpd.text("virtual_alias_maps", "$virtual_maps", "Aliases for any domain, virtual(5).", serves="virtual-aliases"),
    cleanup.number("virtual_alias_recursion_limit", "1000", "Depth of virtual aliasing.", least=1),
    smtpd.text(
        "virtual_mailbox_domains",
        "$virtual_mailbox_maps",
        "Domains with mailboxes of their own.",
        serves="virtual-mailboxes",
    ),
    trivial_rewrite.text(
        "virtual_transport", "virtual", "Transport for virtual_mailbox_domains.", least=1, serves="virtual-mailboxes"
    ),
)
