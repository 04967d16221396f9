"""`transport:nexthop` taken apart (transport(5))."""


def split_transport(text: str) -> tuple[str, str]:
    """`lmtp:unix:/path` -> ("lmtp", "unix:/path"); the next hop may be empty."""
    transport, _, nexthop = text.partition(":")
    return transport, nexthop
