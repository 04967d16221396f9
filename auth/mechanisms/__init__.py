"""SASL mechanisms as pure steps, and the table of those the service can offer (RFC 4422)."""

from __future__ import annotations

from collections.abc import Mapping

from auth.kerberos import Acceptor, KerberosError

from .challenge import apop, cram_md5
from .digest_md5 import digest_md5
from .gssapi import gssapi
from .oauth2 import oauthbearer, xoauth2
from .otp import one_time_password
from .plain import anonymous, external, login, plain
from .scram import scram
from .steps import Environment, MechanismEntry, Refused, Steps

__all__ = ["MECHANISMS", "REFUSED_BY_NAME", "Environment", "MechanismEntry", "Refused", "Steps"]

BOUND = ("mutual-auth", "channel-binding", "private")
"""Flags of the -PLUS forms. ``private`` keeps front-ends from offering them that cannot tell channel binding data."""

MECHANISMS: Mapping[str, MechanismEntry] = {
    entry.name: entry
    for entry in (
        MechanismEntry("ANONYMOUS", ("anonymous",), "", anonymous),
        MechanismEntry("APOP", ("private", "dictionary", "active"), "lookup", apop, nuls=True),
        MechanismEntry("CRAM-MD5", ("dictionary", "active"), "lookup", cram_md5),
        MechanismEntry("DIGEST-MD5", ("dictionary", "active", "mutual-auth"), "lookup", digest_md5),
        MechanismEntry("EXTERNAL", (), "verify", external),
        MechanismEntry("GSSAPI", (), "", gssapi(Acceptor, KerberosError), nuls=True),
        MechanismEntry("LOGIN", ("plaintext",), "verify", login),
        MechanismEntry("OTP", ("dictionary", "active"), "store", one_time_password, nuls=True),
        MechanismEntry("PLAIN", ("plaintext",), "verify", plain, nuls=True),
        MechanismEntry("OAUTHBEARER", ("plaintext",), "verify", oauthbearer),
        MechanismEntry("XOAUTH2", ("plaintext",), "verify", xoauth2),
        MechanismEntry("SCRAM-SHA-1", ("mutual-auth",), "lookup", scram("SCRAM-SHA-1", "sha1")),
        MechanismEntry("SCRAM-SHA-256", ("mutual-auth",), "lookup", scram("SCRAM-SHA-256", "sha256")),
        MechanismEntry("SCRAM-SHA-1-PLUS", BOUND, "lookup", scram("SCRAM-SHA-1", "sha1", plus=True)),
        MechanismEntry("SCRAM-SHA-256-PLUS", BOUND, "lookup", scram("SCRAM-SHA-256", "sha256", plus=True)),
    )
}
"""Mechanisms by name, with the flags their MECH line has."""

REFUSED_BY_NAME: Mapping[str, str] = {
    "NTLM": "its LM and NT hashes are equal to clear-text passwords and are broken in seconds",
    "LANMAN": "its hashes are broken in seconds",
    "RPA": "CompuServe's mechanism has no clients left",
    "SKEY": "OTP has replaced it",
    "SRP": "no maintained implementation exists",
    "KERBEROS_V4": "Kerberos 4 is broken by design (single DES) and gone from all systems",
}
"""Known names that are not offered, with the reason that is logged."""
