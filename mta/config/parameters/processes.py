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
    trivial_rewrite.boolean("allow_min_user", "no", ""),
    smtpd.boolean("allow_untrusted_routing", "no", ""),
    sendmail.text("alternate_config_directories", "", ""),
    anvil.time("anvil_rate_time_unit", "60s", "", least=1),
    anvil.time("anvil_status_update_time", "600s", "", least=1),
    postconf.time("application_event_drain_time", "100s", "", least=1),
    sendmail.text("authorized_flush_users", "static:anyone", ""),
    sendmail.text("authorized_mailq_users", "static:anyone", ""),
    sendmail.text("authorized_submit_users", "static:anyone", ""),
    postmap.number("berkeley_db_create_buffer_size", "16777216", "", least=1),
    postmap.number("berkeley_db_read_buffer_size", "131072", "", least=1),
    smtp.text("best_mx_transport", "", ""),
    postconf.text("cleanup_service_name", "cleanup", "", least=1),
    smtpd.text("command_directory", "/usr/sbin", "", least=1),
    postfix.text("compatibility_level", "0", ""),
    smtpd.text("config_directory", "/etc/postfix", ""),
    smtp.time("connection_cache_protocol_timeout", "5s", "", least=1),
    postconf.text("connection_cache_service_name", "scache", "", least=1),
    scache.time("connection_cache_status_update_time", "600s", "", least=1),
    scache.time("connection_cache_ttl_limit", "2s", "", least=1),
    master.text("daemon_directory", "/usr/lib/postfix/sbin", "", least=1),
    postconf.boolean("daemon_table_open_error_is_fatal", "no", ""),
    smtpd.time("daemon_timeout", "18000s", "", least=1),
    tlsmgr.text("data_directory", "/var/lib/postfix", "", least=1),
    smtpd.number("debug_peer_level", "2", "", least=1),
    smtpd.text("debug_peer_list", "", ""),
    master.text("debugger_command", "", ""),
    sendmail.text("default_database_type", "hash", "", least=1),
    master.number("default_process_limit", "100", "", least=1),
    postconf.text("defer_service_name", "defer", "", least=1),
    smtp.boolean("disable_dns_lookups", "no", ""),
    postscreen.boolean("dns_ncache_ttl_fix_enable", "no", ""),
    smtp.text("dnssec_probe", "ns:.", ""),
    postconf.number("dont_remove", "0", ""),
    postconf.text("error_service_name", "error", "", least=1),
    postconf.number("fault_injection_code", "0", ""),
    postconf.text("flush_service_name", "flush", "", least=1),
    sendmail.number("fork_attempts", "5", "", least=1),
    sendmail.time("fork_delay", "1s", "", least=1),
    postfix.text("html_directory", "/usr/share/doc/postfix/html", "", least=1),
    smtp.boolean("ignore_mx_lookup_error", "no", ""),
    smtpd.text("info_log_address_format", "external", "", least=1),
    postconf.time("ipc_idle", "5s", "", least=1),
    smtpd.time("ipc_timeout", "3600s", "", least=1),
    postconf.time("ipc_ttl", "1000s", "", least=1),
    smtpd.text("known_tcp_ports", "lmtp=24, smtp=25, smtps=submissions=465, submission=587", ""),
    postmap.number("lmdb_map_size", "16777216", "", least=1),
    smtpd.text("mail_name", "Postfix", "", least=1),
    smtpd.text("mail_owner", "postfix", "", least=1),
    postconf.text("mail_release_date", "20240304", "", least=1),
    postconf.text("mail_version", "3.7.11", "", least=1),
    postlogd.text("maillog_file", "", ""),
    postfix.text("maillog_file_compressor", "gzip", "", least=1),
    postfix.text("maillog_file_prefixes", "/var, /dev/stdout", "", least=1),
    postfix.text("maillog_file_rotate_suffix", "%Y%m%d-%H%M%S", "", least=1),
    postfix.text("mailq_path", "/usr/bin/mailq", "", least=1),
    postfix.text("manpage_directory", "/usr/share/man", "", least=1),
    postconf.text("maps_rbl_domains", "", ""),
    master.text("master_service_disable", "", ""),
    smtpd.time("max_idle", "100s", "", least=1),
    smtpd.number("max_use", "100", "", least=1),
    postmulti.text("meta_directory", "/etc/postfix", "", least=1),
    sendmail.text("multi_instance_directories", "", ""),
    postmulti.boolean("multi_instance_enable", "no", ""),
    postmulti.text("multi_instance_group", "", ""),
    postmulti.text("multi_instance_name", "", ""),
    postfix.text("multi_instance_wrapper", "", ""),
    postfix.text("newaliases_path", "/usr/bin/newaliases", "", least=1),
    postconf.text("pickup_service_name", "pickup", "", least=1),
    postlog.text("postlog_service_name", "postlog", "", least=1),
    postlogd.time("postlogd_watchdog_timeout", "10s", "", least=10),
    postmulti.text("postmulti_control_commands", "reload flush", ""),
    postmulti.text("postmulti_start_commands", "start", ""),
    postmulti.text("postmulti_stop_commands", "stop abort drain quick-stop", ""),
    smtpd.text("process_id", "16974", ""),
    postconf.text("process_id_directory", "pid", "", least=1),
    smtpd.text("process_name", "postconf", ""),
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
            "$lmtp_delivery_status_filter $lmtp_dns_reply_filter $lmtp_reply_filter $local_delivery_status_filter "
            "$pipe_delivery_status_filter $postscreen_command_filter $smtp_delivery_status_filter "
            "$smtp_dns_reply_filter $smtp_reply_filter $smtpd_command_filter $smtpd_dns_reply_filter "
            "$virtual_delivery_status_filter $body_checks $header_checks $lmtp_body_checks $lmtp_header_checks "
            "$lmtp_mime_header_checks $lmtp_nested_header_checks $milter_header_checks $mime_header_checks "
            "$nested_header_checks $smtp_body_checks $smtp_header_checks $smtp_mime_header_checks "
            "$smtp_nested_header_checks"
        ),
        "",
    ),
    proxymap.text(
        "proxy_write_maps",
        "$smtp_sasl_auth_cache_name $lmtp_sasl_auth_cache_name $address_verify_map $postscreen_cache_map",
        "",
    ),
    postconf.text("proxymap_service_name", "proxymap", "", least=1),
    postconf.text("proxywrite_service_name", "proxywrite", "", least=1),
    qmqpd.text("qmqpd_authorized_clients", "", ""),
    qmqpd.boolean("qmqpd_client_port_logging", "no", ""),
    qmqpd.time("qmqpd_error_delay", "1s", ""),
    qmqpd.time("qmqpd_timeout", "300s", "", least=1),
    postfix.text("readme_directory", "/usr/share/doc/postfix", "", least=1),
    postscreen.boolean("respectful_logging", "${{$compatibility_level} <level {3.6} ? {no} : {yes}}", ""),
    postconf.text("rewrite_service_name", "rewrite", "", least=1),
    postconf.text("sample_directory", "/etc/postfix", "", least=1),
    sendmail.text("sendmail_fix_line_endings", "always", "", least=1),
    postfix.text("sendmail_path", "/usr/sbin/sendmail", "", least=1),
    smtpd.text("service_name", "", ""),
    master.time("service_throttle_time", "60s", "", least=1),
    postfix.text("setgid_group", "postdrop", "", least=1),
    postmulti.text("shlib_directory", "/usr/lib/postfix", "", least=1),
    smtpd.boolean("show_user_unknown_table_name", "yes", ""),
    postconf.text("showq_service_name", "showq", "", least=1),
    postscreen.text("smtpd_service_name", "smtpd", "", least=1),
    postconf.text("stress", "", ""),
    smtpd.text("syslog_facility", "mail", "", least=1),
    smtpd.text("syslog_name", "${multi_instance_name?{$multi_instance_name}:{postfix}}", "", least=1),
    smtpd.number("tcp_windowsize", "0", ""),
    postconf.text("trace_service_name", "trace", "", least=1),
    postqueue.time("trigger_timeout", "10s", "", least=1),
)
