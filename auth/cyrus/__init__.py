"""The Cyrus SASL side: saslauthd's mux protocol as server and client, sasldb, and smtpd.conf of ``pwcheck_method``."""
