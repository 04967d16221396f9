"""Parameters: local and virtual delivery: aliases, mailboxes, commands."""

from mta.config.parameter import Section

cleanup = Section("cleanup.8")
local = Section("local.8")
master = Section("master.8")
sendmail = Section("sendmail.1")
smtpd = Section("smtpd.8")
virtual = Section("virtual.8")

PARAMETERS = (
    sendmail.text("alias_database", "hash:/etc/aliases", "Alias files that newaliases builds."),
    local.text("alias_maps", "hash:/etc/aliases, nis:mail.aliases", "Aliases of local delivery, aliases(5)."),
    local.text("allow_mail_to_commands", "alias, forward", "Where delivery to commands is allowed."),
    local.text("allow_mail_to_files", "alias, forward", "Where delivery to files is allowed."),
    local.boolean("biff", "yes", "Tell users of new mail through comsat."),
    local.raw("command_execution_directory", "", "Directory in which mailbox_command runs."),
    local.text(
        "command_expansion_filter",
        "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "Characters allowed in what mailbox_command is given.",
        least=1,
    ),
    local.time("command_time_limit", "1000s", "How long a delivery command may run.", least=1),
    local.text("default_privs", "nobody", "User for deliveries that belong to nobody.", least=1),
    local.number("deliver_lock_attempts", "20", "Tries to lock a mailbox.", least=1),
    local.time("deliver_lock_delay", "1s", "Pause between tries to lock a mailbox.", least=1),
    cleanup.number("duplicate_filter_limit", "1000", "Addresses remembered to avoid double delivery."),
    local.text(
        "execution_directory_expansion_filter",
        "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "Characters allowed in command_execution_directory.",
        least=1,
    ),
    local.boolean("expand_owner_alias", "no", "Use what an owner alias stands for as sender."),
    local.text("export_environment", "TZ MAIL_CONFIG LANG", "Environment variables given to programs outside."),
    local.text("fallback_transport", "", "Transport for local users that do not exist."),
    local.text("fallback_transport_maps", "", "The same, by recipient."),
    local.text(
        "forward_expansion_filter",
        "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "Characters allowed in forward_path.",
        least=1,
    ),
    local.raw(
        "forward_path",
        "$home/.forward${recipient_delimiter}${extension}, $home/.forward",
        "Where a user's forward file is looked for.",
    ),
    local.text("home_mailbox", "", "Mailbox relative to the user's home; ending in / means maildir."),
    master.text(
        "import_environment",
        "MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ XAUTHORITY DISPLAY LANG=C POSTLOG_SERVICE POSTLOG_HOSTNAME",
        "Environment variables taken from outside.",
    ),
    local.text("local_command_shell", "", "Shell for delivery commands."),
    local.raw("luser_relay", "", "Where mail for unknown local users goes."),
    local.text("mail_spool_directory", "/var/mail", "Directory of users' mailboxes."),
    local.raw("mailbox_command", "", "Command that delivers to local users."),
    local.text("mailbox_command_maps", "", "The same, by recipient."),
    local.text("mailbox_delivery_lock", "fcntl, dotlock", "How mailboxes are locked.", least=1),
    local.number("mailbox_size_limit", "51200000", "Size of a mailbox in bytes; 0 is no limit."),
    local.text("mailbox_transport", "", "Transport for all local users."),
    local.text("mailbox_transport_maps", "", "The same, by recipient."),
    local.boolean("owner_request_special", "yes", "Keep owner-list and list-request whole when splitting extensions."),
    local.text("prepend_delivered_header", "command, file, forward", "Deliveries that add Delivered-To."),
    cleanup.text(
        "propagate_unmatched_extensions", "canonical, virtual", "Tables whose results get the recipient's extension."
    ),
    smtpd.text("recipient_delimiter", "", "Characters that begin an address extension."),
    local.boolean("require_home_directory", "no", "Defer mail of users without a home directory."),
    local.boolean("reset_owner_alias", "no", "Forget the owner alias when an alias is expanded further."),
    local.time("stale_lock_time", "500s", "Age at which a lock file is removed.", least=1),
    local.boolean("strict_mailbox_ownership", "yes", "Defer mail when the mailbox belongs to someone else."),
    local.boolean("sun_mailtool_compatibility", "no", "Old locking of Sun's mailtool."),
    virtual.text("virtual_gid_maps", "", "Group of virtual mailboxes, by recipient."),
    virtual.text("virtual_mailbox_base", "", "Directory put before every virtual mailbox path.", least=1),
    virtual.number("virtual_mailbox_limit", "51200000", "Size of a virtual mailbox in bytes; 0 is no limit."),
    virtual.text("virtual_mailbox_lock", "fcntl, dotlock", "How virtual mailboxes are locked.", least=1),
    smtpd.text(
        "virtual_mailbox_maps",
        "",
        "Mailbox by recipient in virtual_mailbox_domains.",
        serves="recipient-verify virtual-mailboxes",
    ),
    virtual.number("virtual_minimum_uid", "100", "Least user id that virtual_uid_maps may give.", least=1),
    virtual.text("virtual_uid_maps", "", "User of virtual mailboxes, by recipient."),
)
