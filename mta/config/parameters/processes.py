"""Parameters: processes, directories, service names, logging and tools."""

from mta.config.parameter import Section

anvil = Section("anvil.8")
master = Section("master.8")
postconf = Section("postconf.5")
postfix = Section("postfix.1")
postlog = Section("postlog.1")
postlogd = Section("postlogd.8")
postmap = Section("postmap.1")
postmulti = Section("postmulti.1")
postqueue = Section("postqueue.1")
postscreen = Section("postscreen.8")
proxymap = Section("proxymap.8")
qmqpd = Section("qmqpd.8")
scache = Section("scache.8")
sendmail = Section("sendmail.1")
smtp = Section("smtp.8")
smtpd = Section("smtpd.8")
tlsmgr = Section("tlsmgr.8")
trivial_rewrite = Section("trivial-rewrite.8")

PARAMETERS = (
    trivial_rewrite.boolean("allow_min_user", "no", "Allow recipients that begin with a hyphen."),
    smtpd.boolean("allow_untrusted_routing", "no", "Relay addresses with routing in them for untrusted clients."),
    sendmail.text("alternate_config_directories", "", "Other configuration directories that may be used."),
    anvil.time("anvil_rate_time_unit", "60s", "Time over which client rates are counted.", least=1),
    anvil.time("anvil_status_update_time", "600s", "Pause between reports of peak rates.", least=1),
    postconf.time("application_event_drain_time", "100s", "How long shutdown of an application waits.", least=1),
    sendmail.text("authorized_flush_users", "static:anyone", "Users that may flush the queue."),
    sendmail.text("authorized_mailq_users", "static:anyone", "Users that may see the queue."),
    sendmail.text(
        "authorized_submit_users", "static:anyone", "Users that may send mail with sendmail.", serves="sendmail-command"
    ),
    postmap.number(
        "berkeley_db_create_buffer_size", "16777216", "Memory for building hash and btree tables, in bytes.", least=1
    ),
    postmap.number(
        "berkeley_db_read_buffer_size", "131072", "Memory for reading hash and btree tables, in bytes.", least=1
    ),
    smtp.text("best_mx_transport", "", "Transport for domains whose best mail host is this one."),
    postconf.text("cleanup_service_name", "cleanup", "Service that takes mail into the queue.", least=1),
    smtpd.text("command_directory", "/usr/sbin", "Directory of administrative commands.", least=1),
    postfix.text("compatibility_level", "0", "Release whose defaults this configuration expects."),
    smtpd.text("config_directory", "/etc/postfix", "Directory of main.cf and master.cf."),
    smtp.time("connection_cache_protocol_timeout", "5s", "How long the connection cache may take.", least=1),
    postconf.text("connection_cache_service_name", "scache", "Service that keeps connections.", least=1),
    scache.time(
        "connection_cache_status_update_time", "600s", "Pause between reports of the connection cache.", least=1
    ),
    scache.time("connection_cache_ttl_limit", "2s", "How long the cache keeps a connection at most.", least=1),
    master.text("daemon_directory", "/usr/lib/postfix/sbin", "Directory of service programs.", least=1),
    postconf.boolean("daemon_table_open_error_is_fatal", "no", "End a service that cannot open a table."),
    smtpd.time("daemon_timeout", "18000s", "Time after which a stuck service ends itself.", least=1),
    tlsmgr.text(
        "data_directory", "/var/lib/postfix", "Directory of caches and other data that services write.", least=1
    ),
    smtpd.number("debug_peer_level", "2", "Additional log level for debug_peer_list.", least=1),
    smtpd.text("debug_peer_list", "", "Peers whose sessions are logged in detail."),
    master.text("debugger_command", "", "Command started with services run with -D."),
    sendmail.text("default_database_type", "hash", "Table type of newaliases and postmap.", least=1),
    master.number("default_process_limit", "100", "Processes of a service at most.", least=1, serves="master-cf"),
    postconf.text("defer_service_name", "defer", "Service that records deferred mail.", least=1),
    smtp.boolean("disable_dns_lookups", "no", "Never use DNS to deliver.", serves="transport-maps"),
    postscreen.boolean("dns_ncache_ttl_fix_enable", "no", "Mend the TTL of negative answers for some libraries."),
    smtp.text("dnssec_probe", "ns:.", "Query that tells whether DNSSEC works."),
    postconf.number("dont_remove", "0", "Keep finished queue files, for debugging."),
    postconf.text("error_service_name", "error", "Service that returns mail with a given reason.", least=1),
    postconf.number("fault_injection_code", "0", "Faults to make, for tests."),
    postconf.text("flush_service_name", "flush", "Service that keeps deferred mail by destination.", least=1),
    sendmail.number("fork_attempts", "5", "Tries to start a process.", least=1),
    sendmail.time("fork_delay", "1s", "Pause between tries to start a process.", least=1),
    postfix.text("html_directory", "/usr/share/doc/postfix/html", "Directory of HTML documentation.", least=1),
    smtp.boolean("ignore_mx_lookup_error", "no", "Deliver to the domain itself when its MX records cannot be asked."),
    smtpd.text("info_log_address_format", "external", "Form of addresses in the log.", least=1),
    postconf.time("ipc_idle", "5s", "How long an unused internal connection stays open.", least=1),
    smtpd.time("ipc_timeout", "3600s", "How long an internal request may take.", least=1),
    postconf.time("ipc_ttl", "1000s", "How long an internal connection is used at most.", least=1),
    smtpd.text(
        "known_tcp_ports",
        "lmtp=24, smtp=25, smtps=submissions=465, submission=587",
        "Names of ports that do not need the services file.",
    ),
    postmap.number("lmdb_map_size", "16777216", "Initial size of lmdb tables, in bytes.", least=1),
    smtpd.text("mail_name", "Postfix", "Name of the mail system in greetings and headers.", least=1),
    smtpd.text("mail_owner", "postfix", "User that owns the queue and most processes.", least=1, serves="no-root"),
    postconf.text("mail_release_date", "20240304", "Date of the release.", least=1),
    postconf.text("mail_version", "3.7.11", "Version of the release.", least=1),
    postlogd.text("maillog_file", "", "Log file; empty logs to syslog."),
    postfix.text("maillog_file_compressor", "gzip", "Command that compresses rotated logs.", least=1),
    postfix.text("maillog_file_prefixes", "/var, /dev/stdout", "Where maillog_file may lie.", least=1),
    postfix.text("maillog_file_rotate_suffix", "%Y%m%d-%H%M%S", "Suffix of rotated logs.", least=1),
    postfix.text("mailq_path", "/usr/bin/mailq", "Path of mailq.", least=1),
    postfix.text("manpage_directory", "/usr/share/man", "Directory of manual pages.", least=1),
    postconf.text("maps_rbl_domains", "", "Old form of reject_rbl_client."),
    master.text("master_service_disable", "", "Services of master.cf that are switched off."),
    smtpd.time("max_idle", "100s", "How long an unused process waits for work.", least=1),
    smtpd.number("max_use", "100", "Clients that a process serves before it ends.", least=1),
    postmulti.text("meta_directory", "/etc/postfix", "Directory of installation data.", least=1),
    sendmail.text("multi_instance_directories", "", "Configuration directories of further instances."),
    postmulti.boolean("multi_instance_enable", "no", "Let this instance be started by the instance manager."),
    postmulti.text("multi_instance_group", "", "Group of instances this one belongs to."),
    postmulti.text("multi_instance_name", "", "Name of this instance."),
    postfix.text("multi_instance_wrapper", "", "Command that manages instances."),
    postfix.text("newaliases_path", "/usr/bin/newaliases", "Path of newaliases.", least=1),
    postconf.text("pickup_service_name", "pickup", "Service that takes mail from the drop directory.", least=1),
    postlog.text("postlog_service_name", "postlog", "Service that writes the log.", least=1),
    postlogd.time("postlogd_watchdog_timeout", "10s", "Time after which a stuck log service ends itself.", least=10),
    postmulti.text("postmulti_control_commands", "reload flush", "Commands for running instances."),
    postmulti.text("postmulti_start_commands", "start", "Commands that start instances."),
    postmulti.text("postmulti_stop_commands", "stop abort drain quick-stop", "Commands that stop instances."),
    smtpd.text("process_id", "", "Number of the process."),
    postconf.text("process_id_directory", "pid", "Directory of lock files with process numbers.", least=1),
    smtpd.text("process_name", "postconf", "Name of the process."),
    proxymap.text(
        "proxy_read_maps",
        (
            "$local_recipient_maps $mydestination $virtual_alias_maps $virtual_alias_domains "
            "$virtual_mailbox_maps $virtual_mailbox_domains $relay_recipient_maps $relay_domains $canonical_maps "
            "$sender_canonical_maps $recipient_canonical_maps $relocated_maps $transport_maps $mynetworks "
            "$smtpd_sender_login_maps $sender_bcc_maps $recipient_bcc_maps $smtp_generic_maps $lmtp_generic_maps "
            "$alias_maps $smtpd_client_restrictions $smtpd_helo_restrictions $smtpd_sender_restrictions "
            "$smtpd_relay_restrictions $smtpd_recipient_restrictions "
            "$address_verify_sender_dependent_default_transport_maps "
            "$address_verify_sender_dependent_relayhost_maps $address_verify_transport_maps "
            "$fallback_transport_maps $lmtp_discard_lhlo_keyword_address_maps $lmtp_pix_workaround_maps "
            "$lmtp_sasl_password_maps $lmtp_tls_policy_maps $mailbox_command_maps $mailbox_transport_maps "
            "$postscreen_discard_ehlo_keyword_address_maps $rbl_reply_maps "
            "$sender_dependent_default_transport_maps $sender_dependent_relayhost_maps "
            "$smtp_discard_ehlo_keyword_address_maps $smtp_pix_workaround_maps $smtp_sasl_password_maps "
            "$smtp_tls_policy_maps $smtpd_discard_ehlo_keyword_address_maps $smtpd_milter_maps $virtual_gid_maps "
            "$virtual_uid_maps $local_login_sender_maps $postscreen_reject_footer_maps $smtpd_reject_footer_maps "
            "$tls_server_sni_maps $tlsproxy_client_policy_maps $default_delivery_status_filter "
            "$lmtp_delivery_status_filter $lmtp_dns_reply_filter $lmtp_reply_filter $local_delivery_status_filter"
            " $pipe_delivery_status_filter $postscreen_command_filter $smtp_delivery_status_filter "
            "$smtp_dns_reply_filter $smtp_reply_filter $smtpd_command_filter $smtpd_dns_reply_filter "
            "$virtual_delivery_status_filter $body_checks $header_checks $lmtp_body_checks $lmtp_header_checks "
            "$lmtp_mime_header_checks $lmtp_nested_header_checks $milter_header_checks $mime_header_checks "
            "$nested_header_checks $smtp_body_checks $smtp_header_checks $smtp_mime_header_checks "
            "$smtp_nested_header_checks"
        ),
        "Tables that other services may read through proxymap.",
        serves="proxymap",
    ),
    proxymap.text(
        "proxy_write_maps",
        "$smtp_sasl_auth_cache_name $lmtp_sasl_auth_cache_name $address_verify_map $postscreen_cache_map",
        "Tables that other services may change through proxymap.",
    ),
    postconf.text("proxymap_service_name", "proxymap", "Service that reads tables for others.", least=1),
    postconf.text("proxywrite_service_name", "proxywrite", "Service that changes tables for others.", least=1),
    qmqpd.text("qmqpd_authorized_clients", "", "Clients of the QMQP server."),
    qmqpd.boolean("qmqpd_client_port_logging", "no", "Log client ports."),
    qmqpd.time("qmqpd_error_delay", "1s", "Pause before a negative reply."),
    qmqpd.time("qmqpd_timeout", "300s", "How long a QMQP client may take.", least=1),
    postfix.text("readme_directory", "/usr/share/doc/postfix", "Directory of documentation.", least=1),
    postscreen.boolean(
        "respectful_logging",
        "${{$compatibility_level} <level {3.6} ? {no} : {yes}}",
        "Use allowlist and denylist in log texts.",
    ),
    postconf.text("rewrite_service_name", "rewrite", "Service that rewrites and resolves addresses.", least=1),
    postconf.text("sample_directory", "/etc/postfix", "Directory of sample configurations.", least=1),
    sendmail.text("sendmail_fix_line_endings", "always", "How sendmail treats CRLF on its input.", least=1),
    postfix.text("sendmail_path", "/usr/sbin/sendmail", "Path of sendmail.", least=1),
    smtpd.text("service_name", "", "Name of the service in master.cf."),
    master.time("service_throttle_time", "60s", "Pause before a crashing service is started again.", least=1),
    postfix.text("setgid_group", "postdrop", "Group of the mail drop.", least=1),
    postmulti.text("shlib_directory", "/usr/lib/postfix", "Directory of shared libraries.", least=1),
    smtpd.boolean("show_user_unknown_table_name", "yes", 'Name the table in "user unknown" replies.'),
    postconf.text("showq_service_name", "showq", "Service that lists the queue.", least=1),
    postscreen.text("smtpd_service_name", "smtpd", "Service behind postscreen.", least=1),
    postconf.text("stress", "", "Set to yes by the system when all processes of a service are busy."),
    smtpd.text("syslog_facility", "mail", "Syslog facility.", least=1),
    smtpd.text(
        "syslog_name",
        "${multi_instance_name?{$multi_instance_name}:{postfix}}",
        "Name put before service names in the log.",
        least=1,
    ),
    smtpd.number("tcp_windowsize", "0", "TCP window in bytes; 0 is the system's own."),
    postconf.text("trace_service_name", "trace", "Service that records delivery reports.", least=1),
    postqueue.time("trigger_timeout", "10s", "How long waking a service may take.", least=1),
)
