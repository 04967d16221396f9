"""Who vouches for a message: SPF, DKIM (RFC 6376) and DMARC as an Authentication-Results header (RFC 8601).

    authenticator = Authenticator(resolver, "mx.example.net")
    content, header = await authenticator.judge(client, content)      # the message, and `Authentication-Results: ...`

`dkim` and `dmarc` read and verify without input or output; `authenticator` asks the DNS; `header` writes the field.
Results in the message that claim to be ours are forged, and removed. Nothing is refused here: filters and mail
programs act on the results.
"""

from mta.authres.authenticator import Authenticator, Client

__all__ = ["Authenticator", "Client"]
