"""Which ciphers a grade stands for, and what else the TLS library is told (tls_*_cipherlist, tls_ssl_options)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tls.policy import POSTFIX_GRADES

if TYPE_CHECKING:
    from mta.config import MainConfig


def grades(config: MainConfig) -> dict[str, str]:
    """OpenSSL cipher lists by grade."""
    return {grade: config.str(f"tls_{grade}_cipherlist") for grade in POSTFIX_GRADES}
