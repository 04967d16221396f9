"""IMAP4rev1 (RFC 3501) with Dovecot's extensions and wording: sans-I/O protocol code on Twisted's transport."""
