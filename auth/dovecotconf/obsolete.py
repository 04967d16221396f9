"""Settings of older Dovecots that are still understood, with the warning doveconf gives (wiki Upgrading)."""

from __future__ import annotations

from dataclasses import dataclass

from .lexer import Assign

NOTE = "NOTE: You can get a new clean config file with: doveconf -Pn > dovecot-new.conf"

_NOT_NEEDED = frozenset({"ssl_dh_parameters_length", "ssl_parameters_regenerate"})
_FILES = {"ssl_cert_file": "ssl_cert", "ssl_key_file": "ssl_key", "ssl_ca_file": "ssl_ca"}
_VERSIONS = ("SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_WITH_TLS = {"imaps": "imap", "pop3s": "pop3"}


@dataclass(frozen=True, slots=True)
class Translated:
    """What an old setting means today: assignments (maybe none), and the warnings about it."""

    assigns: tuple[Assign, ...]
    warnings: tuple[str, ...]


def translate(token: Assign) -> Translated | None:
    """Today's form of an old setting, None for one that is not old."""
    key = token.key
    if key in _NOT_NEEDED:
        return Translated((), (f"{key} is no longer needed",))
    if key in _FILES and token.form != "file":
        new = _FILES[key]
        return Translated((Assign(new, token.value, "file"),), (f"{key} has been replaced by {new} = <file",))
    if key == "ssl_protocols":
        minimum = Assign("ssl_min_protocol", _minimum(token.value), "quoted")
        return Translated((minimum,), ("ssl_protocols has been replaced by ssl_min_protocol",))
    if key == "protocols" and any(word in _WITH_TLS for word in token.value.split()):
        return _protocols(token)
    return None


def _minimum(value: str) -> str:
    """The lowest version that ``!SSLv3 TLSv1.1`` leaves: what is refused, or all but what is named."""
    words = value.replace(",", " ").split()
    refused = {word[1:] for word in words if word.startswith("!")}
    named = {word for word in words if not word.startswith("!")}
    return next((one for one in _VERSIONS if one not in refused and (not named or one in named)), "TLSv1.2")


def _protocols(token: Assign) -> Translated:
    """``imaps`` beside ``imap`` says nothing; alone it means IMAP without its plain port."""
    words = token.value.split()
    warnings: list[str] = []
    closed: list[Assign] = []
    for word, plain in _WITH_TLS.items():
        if word not in words:
            continue
        if plain in words:
            words.remove(word)
            warnings.append(f"'{word}' protocol is no longer necessary, remove it")
            continue
        words[words.index(word)] = plain
        closed.append(Assign(f"service/{plain}-login/inet_listener/{plain}/port", "0", "quoted"))
        warnings.append(
            f"'{word}' protocol can no longer be specified (use protocols={plain}). to disable non-ssl {plain}, "
            f"use service {plain}-login {{ inet_listener {plain} {{ port=0 }} }}"
        )
    return Translated((Assign("protocols", " ".join(words), token.form), *closed), tuple(warnings))
