"""How the dialogues of several tests begin."""

from __future__ import annotations


def envelope(sender: str = "a@b.example", helo: str = "x") -> str:
    """EHLO and MAIL, which are taken."""
    return f"C: EHLO {helo}\nS: 250-*\nC: MAIL FROM:<{sender}>\nS: 250 *\n"
