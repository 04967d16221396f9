"""Parameters: message content: headers, MIME, sizes and content inspection."""

from mta.config.parameter import Section

cleanup = Section("cleanup.8")
smtp = Section("smtp.8")
smtpd = Section("smtpd.8")

PARAMETERS = (
    cleanup.boolean("always_add_missing_headers", "no", "Add From, To, Date and Message-ID to remote mail too."),
    cleanup.text("body_checks", "", "Body inspection, line by line."),
    cleanup.number("body_checks_size_limit", "51200", "How much of each part body_checks sees, in bytes."),
    cleanup.boolean("cleanup_replace_stray_cr_lf", "yes", "Replace carriage returns and newlines that end no line."),
    cleanup.boolean("detect_8bit_encoding_header", "yes", "Find 8-bit content by its Content-Transfer-Encoding."),
    cleanup.boolean("disable_mime_input_processing", "no", "Treat received mail as plain text."),
    smtp.boolean(
        "disable_mime_output_conversion", "no", "Deliver 8-bit mail as it is, also to servers without 8BITMIME."
    ),
    cleanup.boolean("enable_original_recipient", "yes", "Keep the recipient as it was before rewriting."),
    cleanup.number("header_address_token_limit", "10240", "Address tokens of one header at most.", least=1),
    cleanup.text("header_checks", "", "Inspection of message headers, header_checks(5)."),
    cleanup.number("header_size_limit", "102400", "Length of one header in bytes; the rest is dropped.", least=1),
    smtpd.text("internal_mail_filter_classes", "", "System-made mail that is filtered like other mail."),
    smtpd.number("line_length_limit", "2048", "Length at which received lines are cut.", least=512),
    cleanup.text(
        "message_drop_headers", "bcc, content-length, resent-bcc, return-path", "Headers removed from received mail."
    ),
    cleanup.text("message_reject_characters", "", "Characters that messages may not contain."),
    smtpd.number("message_size_limit", "10240000", "Size of a message in bytes; 0 is no limit."),
    cleanup.text("message_strip_characters", "", "Characters removed from messages."),
    smtp.number("mime_boundary_length_limit", "2048", "Length of a MIME boundary that is looked at.", least=1),
    cleanup.text("mime_header_checks", "$header_checks", "Inspection of MIME headers."),
    smtp.number("mime_nesting_limit", "100", "Depth of MIME parts.", least=1),
    cleanup.text("nested_header_checks", "$header_checks", "Inspection of headers in attached messages."),
    smtpd.text("receive_override_options", "", "Steps of receiving that are switched off."),
    cleanup.boolean("strict_7bit_headers", "no", "Refuse 8-bit text in headers."),
    cleanup.boolean("strict_8bitmime", "no", "Refuse 8-bit text that is not announced, headers and body."),
    cleanup.boolean("strict_8bitmime_body", "no", "Refuse 8-bit bodies that are not announced."),
    cleanup.boolean("strict_mime_encoding_domain", "no", "Refuse impossible Content-Transfer-Encoding values."),
)
