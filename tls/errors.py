"""The two ways in which TLS fails: a setting is unusable, or a peer and we could not agree."""


class TLSError(Exception):
    """Base of everything that this package raises."""


class TLSConfigError(TLSError, ValueError):
    """A certificate, key, cipher list or protocol setting cannot be used; the text says which and why."""


class TLSHandshakeError(TLSError):
    """The handshake did not complete. `str()` is for the log: it names the cause and holds nothing secret."""

    def __init__(self, reason: str, *, verification: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.verification = verification
        """OpenSSL's words if the peer's certificate was the cause, such as "certificate has expired"; else None."""
