"""Parameters: who this host is, address classes, address rewriting and where mail goes."""

from mta.config.parameter import Section

cleanup = Section("cleanup.8")
postconf = Section("postconf.5")
smtpd = Section("smtpd.8")
trivial_rewrite = Section("trivial-rewrite.8")

PARAMETERS = (
    trivial_rewrite.boolean("allow_percent_hack", "yes", ""),
    cleanup.text("always_bcc", "", ""),
    trivial_rewrite.boolean("append_at_myorigin", "yes", ""),
    trivial_rewrite.boolean("append_dot_mydomain", "${{$compatibility_level} <level {1} ? {yes} : {no}}", ""),
    cleanup.text(
        "canonical_classes", "envelope_sender, envelope_recipient, header_sender, header_recipient", "", least=1
    ),
    smtpd.text("canonical_maps", "", ""),
    trivial_rewrite.text("default_transport", "smtp", "", least=1),
    trivial_rewrite.text("empty_address_default_transport_maps_lookup_key", "<>", "", least=1),
    cleanup.text("empty_address_recipient", "MAILER-DAEMON", "", least=1),
    trivial_rewrite.text("empty_address_relayhost_maps_lookup_key", "<>", "", least=1),
    smtpd.boolean("enable_idna2003_compatibility", "no", ""),
    smtpd.text("header_from_format", "standard", "", least=1),
    smtpd.text("inet_interfaces", "all", ""),
    smtpd.text("inet_protocols", "all", ""),
    smtpd.text("local_header_rewrite_clients", "permit_inet_interfaces", ""),
    smtpd.text("local_recipient_maps", "proxy:unix:passwd.byname $alias_maps", ""),
    trivial_rewrite.text("local_transport", "local:$myhostname", "", least=1),
    cleanup.text("masquerade_classes", "envelope_sender, header_sender, header_recipient", ""),
    cleanup.text("masquerade_domains", "", ""),
    cleanup.text("masquerade_exceptions", "", ""),
    smtpd.text("mydestination", "$myhostname, localhost.$mydomain, localhost", ""),
    postconf.text("mydomain", "localdomain", "", least=1),
    smtpd.text("myhostname", "vm.localdomain", "", least=1),
    smtpd.text("mynetworks", "127.0.0.0/8 192.0.2.0/24 [::1]/128 [fd00::]/64 [fe80::]/64", ""),
    postconf.text("mynetworks_style", "${{$compatibility_level} <level {2} ? {subnet} : {host}}", "", least=1),
    smtpd.text("myorigin", "$myhostname", "", least=1),
    smtpd.text(
        "parent_domain_matches_subdomains",
        (
            "debug_peer_list,fast_flush_domains,mynetworks,permit_mx_backup_networks,qmqpd_authorized_clients,rel"
            "ay_domains,smtpd_access_maps"
        ),
        "",
    ),
    smtpd.text("permit_mx_backup_networks", "", ""),
    smtpd.text("proxy_interfaces", "", ""),
    cleanup.text("recipient_bcc_maps", "", ""),
    cleanup.text("recipient_canonical_classes", "envelope_recipient, header_recipient", "", least=1),
    smtpd.text("recipient_canonical_maps", "", ""),
    smtpd.text("relay_domains", "${{$compatibility_level} <level {2} ? {$mydestination} : {}}", ""),
    smtpd.text("relay_recipient_maps", "", ""),
    trivial_rewrite.text("relay_transport", "relay", "", least=1),
    trivial_rewrite.text("relayhost", "", ""),
    trivial_rewrite.text("relocated_maps", "", ""),
    cleanup.text("remote_header_rewrite_domain", "", ""),
    trivial_rewrite.boolean("resolve_dequoted_address", "yes", ""),
    trivial_rewrite.boolean("resolve_null_domain", "no", ""),
    trivial_rewrite.boolean("resolve_numeric_domain", "no", ""),
    cleanup.text("sender_bcc_maps", "", ""),
    cleanup.text("sender_canonical_classes", "envelope_sender, header_sender", "", least=1),
    smtpd.text("sender_canonical_maps", "", ""),
    trivial_rewrite.text("sender_dependent_default_transport_maps", "", ""),
    trivial_rewrite.text("sender_dependent_relayhost_maps", "", ""),
    smtpd.text("smtputf8_autodetect_classes", "sendmail, verify", "", least=1),
    smtpd.boolean("smtputf8_enable", "${{$compatibility_level} <level {1} ? {no} : {yes}}", ""),
    trivial_rewrite.boolean("swap_bangpath", "yes", ""),
    trivial_rewrite.text("transport_maps", "", ""),
    cleanup.text("undisclosed_recipients_header", "", ""),
    cleanup.number("virtual_alias_address_length_limit", "1000", "", least=1),
    smtpd.text("virtual_alias_domains", "$virtual_alias_maps", ""),
    cleanup.number("virtual_alias_expansion_limit", "1000", "", least=1),
    smtpd.text("virtual_alias_maps", "$virtual_maps", ""),
    cleanup.number("virtual_alias_recursion_limit", "1000", "", least=1),
    smtpd.text("virtual_mailbox_domains", "$virtual_mailbox_maps", ""),
    trivial_rewrite.text("virtual_transport", "virtual", "", least=1),
)
