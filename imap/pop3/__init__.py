"""POP3 (RFC 1939, CAPA of RFC 2449, STLS of RFC 2595, SASL of RFC 5034) as Dovecot speaks it, on Twisted."""
