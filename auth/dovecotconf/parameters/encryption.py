"""Parameters of dovecot.conf: TLS."""

from __future__ import annotations

from .declare import boolean, enum, string

PARAMETERS = (
    enum("ssl", "yes", "yes no required", "SSL/DovecotConfiguration"),
    string("ssl_alt_cert", "", "SSL/DovecotConfiguration"),
    string("ssl_alt_key", "", "SSL/DovecotConfiguration", secret=True),
    string("ssl_ca", "", "SSL/DovecotConfiguration"),
    string("ssl_cert", "", "SSL/DovecotConfiguration"),
    string("ssl_cert_username_field", "commonName", "SSL/DovecotConfiguration"),
    string(
        "ssl_cipher_list",
        "ALL:!kRSA:!SRP:!kDHd:!DSS:!aNULL:!eNULL:!EXPORT:!DES:!3DES:!MD5:!PSK:!RC4:!ADH:!LOW@STRENGTH",
        "SSL/DovecotConfiguration",
    ),
    string("ssl_cipher_suites", "", "SSL/DovecotConfiguration"),
    string("ssl_client_ca_dir", "", "SSL/DovecotConfiguration"),
    string("ssl_client_ca_file", "", "SSL/DovecotConfiguration"),
    string("ssl_client_cert", "", "SSL/DovecotConfiguration"),
    string("ssl_client_key", "", "SSL/DovecotConfiguration", secret=True),
    boolean("ssl_client_require_valid_cert", "yes", "SSL/DovecotConfiguration"),
    string("ssl_crypto_device", "", "SSL/DovecotConfiguration"),
    string("ssl_curve_list", "", "SSL/DovecotConfiguration"),
    string("ssl_dh", "", "SSL/DovecotConfiguration"),
    string("ssl_key", "", "SSL/DovecotConfiguration", secret=True),
    string("ssl_key_password", "", "SSL/DovecotConfiguration", secret=True),
    string("ssl_min_protocol", "TLSv1.2", "SSL/DovecotConfiguration"),
    string("ssl_options", "", "SSL/DovecotConfiguration"),
    boolean("ssl_prefer_server_ciphers", "no", "SSL/DovecotConfiguration"),
    boolean("ssl_require_crl", "yes", "SSL/DovecotConfiguration"),
    boolean("ssl_verify_client_cert", "no", "SSL/DovecotConfiguration"),
    boolean("verbose_ssl", "no", "SSL/DovecotConfiguration"),
)
