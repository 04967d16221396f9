"""The mail store and its doors: Maildir++ under one mail root, IMAP, POP3 and LMTP, configured by dovecot.conf."""
