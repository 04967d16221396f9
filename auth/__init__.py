"""Authentication for hardmail: Dovecot's auth protocol, SASL mechanisms, password schemes and databases, dovecot.conf."""
