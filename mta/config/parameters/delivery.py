"""Parameters: local and virtual delivery: aliases, mailboxes, commands."""

from mta.config.parameter import Section

cleanup = Section("cleanup.8")
local = Section("local.8")
master = Section("master.8")
sendmail = Section("sendmail.1")
smtpd = Section("smtpd.8")
virtual = Section("virtual.8")

PARAMETERS = (
    sendmail.text("alias_database", "hash:/etc/aliases", ""),
    local.text("alias_maps", "hash:/etc/aliases, nis:mail.aliases", ""),
    local.text("allow_mail_to_commands", "alias, forward", ""),
    local.text("allow_mail_to_files", "alias, forward", ""),
    local.boolean("biff", "yes", ""),
    local.raw("command_execution_directory", "", ""),
    local.text(
        "command_expansion_filter",
        "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "",
        least=1,
    ),
    local.time("command_time_limit", "1000s", "", least=1),
    local.text("default_privs", "nobody", "", least=1),
    local.number("deliver_lock_attempts", "20", "", least=1),
    local.time("deliver_lock_delay", "1s", "", least=1),
    cleanup.number("duplicate_filter_limit", "1000", ""),
    local.text(
        "execution_directory_expansion_filter",
        "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "",
        least=1,
    ),
    local.boolean("expand_owner_alias", "no", ""),
    local.text("export_environment", "TZ MAIL_CONFIG LANG", ""),
    local.text("fallback_transport", "", ""),
    local.text("fallback_transport_maps", "", ""),
    local.text(
        "forward_expansion_filter",
        "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "",
        least=1,
    ),
    local.raw("forward_path", "$home/.forward${recipient_delimiter}${extension}, $home/.forward", ""),
    local.text("home_mailbox", "", ""),
    master.text(
        "import_environment",
        "MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ XAUTHORITY DISPLAY LANG=C POSTLOG_SERVICE POSTLOG_HOSTNAME",
        "",
    ),
    local.text("local_command_shell", "", ""),
    local.raw("luser_relay", "", ""),
    local.text("mail_spool_directory", "/var/mail", ""),
    local.raw("mailbox_command", "", ""),
    local.text("mailbox_command_maps", "", ""),
    local.text("mailbox_delivery_lock", "fcntl, dotlock", "", least=1),
    local.number("mailbox_size_limit", "51200000", ""),
    local.text("mailbox_transport", "", ""),
    local.text("mailbox_transport_maps", "", ""),
    local.boolean("owner_request_special", "yes", ""),
    local.text("prepend_delivered_header", "command, file, forward", ""),
    cleanup.text("propagate_unmatched_extensions", "canonical, virtual", ""),
    smtpd.text("recipient_delimiter", "", ""),
    local.boolean("require_home_directory", "no", ""),
    local.boolean("reset_owner_alias", "no", ""),
    local.time("stale_lock_time", "500s", "", least=1),
    local.boolean("strict_mailbox_ownership", "yes", ""),
    local.boolean("sun_mailtool_compatibility", "no", ""),
    virtual.text("virtual_gid_maps", "", ""),
    virtual.text("virtual_mailbox_base", "", "", least=1),
    virtual.number("virtual_mailbox_limit", "51200000", ""),
    virtual.text("virtual_mailbox_lock", "fcntl, dotlock", "", least=1),
    smtpd.text("virtual_mailbox_maps", "", ""),
    virtual.number("virtual_minimum_uid", "100", "", least=1),
    virtual.text("virtual_uid_maps", "", ""),
)
