"""Quoting of local parts: internal form (as stored and looked up) to external form (as written in SMTP and headers)."""

import re

_RFC821_SPECIALS = frozenset('<>()[]\\,;:@"')
_CONTROLS = frozenset(map(chr, range(32))) | {"\x7f"}
_PLAIN = re.compile(r"[A-Za-z0-9_=+-]+(?:\.[A-Za-z0-9_=+-]+)*@[A-Za-z0-9.-]+")
_NOT_IN_DOT_STRING = _RFC821_SPECIALS | _CONTROLS | {" "}


def is_dot_string(local: str) -> bool:
    """Whether a local part can stand without quotes: atoms separated by single dots. 8-bit text may."""
    return bool(local) and local[0] != "." and local[-1] != "." and ".." not in local and _plain(local)


def _plain(local: str) -> bool:
    return _NOT_IN_DOT_STRING.isdisjoint(local)


def quote_821(address: str) -> str:
    """An internal address as it goes into MAIL FROM and RCPT TO (RFC 5321 section 4.1.2), without `<>`."""
    local, at, domain = address.rpartition("@")
    if not at:
        local, domain = address, ""
    if is_dot_string(local):
        return address
    return f"{_quoted(local, chr(34) + chr(92) + chr(13) + chr(10))}{at}{domain}"


def quote_822(address: str, *, bare: bool = False) -> str:
    """An internal address as it goes into a header or a table key (RFC 5322 section 3.4.1).

    A source route in front stays as it is. bare: the text is a local part only, an @ in it needs quotes.
    """
    if not bare and _PLAIN.fullmatch(address):
        return address
    route, rest = _split_route(address)
    local, at, domain = ("", "", "") if bare else rest.rpartition("@")
    if not at:
        local, domain = rest, ""
    if is_dot_string(local):
        return address
    return f"{route}{_quoted(local, chr(34) + chr(92) + chr(13))}{at}{domain}"


def unquote_822(address: str) -> str:
    """An external address in internal form: quotes and backslashes of the local part are taken away."""
    route, rest = _split_route(address)
    out, size_at, tail = list[str](), -1, ""
    in_quotes, i = False, 0
    while i < len(rest):
        c = rest[i]
        i += 1
        if c == '"':
            in_quotes = not in_quotes
            continue
        if c == "@" and not in_quotes:
            # The last unquoted @ begins the domain, which is never unquoted.
            size_at, tail = len(out), rest[i - 1 :]
        elif c == "\\":
            if i == len(rest):
                break
            c = rest[i]
            i += 1
        out.append(c)
    return route + ("".join(out[:size_at]) + tail if size_at >= 0 else "".join(out))


def _split_route(address: str) -> tuple[str, str]:
    if address.startswith("@") and ":" in address:
        end = address.index(":") + 1
        return address[:end], address[end:]
    return "", address


def _quoted(local: str, escaped: str) -> str:
    return '"' + "".join("\\" + c if c in escaped else c for c in local) + '"'
