"""Parameters: message content: headers, MIME, sizes and content inspection."""

from mta.config.parameter import Section

cleanup = Section("cleanup.8")
smtp = Section("smtp.8")
smtpd = Section("smtpd.8")

PARAMETERS = (
    cleanup.boolean("always_add_missing_headers", "no", ""),
    cleanup.text("body_checks", "", ""),
    cleanup.number("body_checks_size_limit", "51200", ""),
    cleanup.boolean("cleanup_replace_stray_cr_lf", "yes", ""),
    cleanup.boolean("detect_8bit_encoding_header", "yes", ""),
    cleanup.boolean("disable_mime_input_processing", "no", ""),
    smtp.boolean("disable_mime_output_conversion", "no", ""),
    cleanup.boolean("enable_original_recipient", "yes", ""),
    cleanup.number("header_address_token_limit", "10240", "", least=1),
    cleanup.text("header_checks", "", ""),
    cleanup.number("header_size_limit", "102400", "", least=1),
    smtpd.text("internal_mail_filter_classes", "", ""),
    smtpd.number("line_length_limit", "2048", "", least=512),
    cleanup.text("message_drop_headers", "bcc, content-length, resent-bcc, return-path", ""),
    cleanup.text("message_reject_characters", "", ""),
    smtpd.number("message_size_limit", "10240000", ""),
    cleanup.text("message_strip_characters", "", ""),
    smtp.number("mime_boundary_length_limit", "2048", "", least=1),
    cleanup.text("mime_header_checks", "$header_checks", ""),
    smtp.number("mime_nesting_limit", "100", "", least=1),
    cleanup.text("nested_header_checks", "$header_checks", ""),
    smtpd.text("receive_override_options", "", ""),
    cleanup.boolean("strict_7bit_headers", "no", ""),
    cleanup.boolean("strict_8bitmime", "no", ""),
    cleanup.boolean("strict_8bitmime_body", "no", ""),
    cleanup.boolean("strict_mime_encoding_domain", "no", ""),
)
