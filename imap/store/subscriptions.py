"""The `subscriptions` file: version 2 with tab-separated hierarchy, and Dovecot's older one name per line.

    V<TAB>2
    <empty line>
    <name part>[<TAB><name part> ...]

Names are modified UTF-7. Tab, newline, carriage return, NUL and \\x01 inside a part are escaped as \\x01t, \\x01n,
\\x01r, \\x010, \\x011.
"""

from collections.abc import Iterable

from imap.store.dotlock import dotlock
from imap.store.jail import CONTROL_FILE_LIMIT, Directory

NAME = "subscriptions"
_MAGIC = "V\t2\n\n"
_ESCAPES = (("\x01", "\x011"), ("\t", "\x01t"), ("\n", "\x01n"), ("\r", "\x01r"), ("\0", "\x010"))


def escape(part: str) -> str:
    """Dovecot's escaping of tabs and line ends (str_tabescape)."""
    for char, escaped in _ESCAPES:
        part = part.replace(char, escaped)
    return part


def unescape(part: str) -> str:
    """What `escape` was made from."""
    for char, escaped in reversed(_ESCAPES):
        part = part.replace(escaped, char)
    return part


def parse(data: bytes, separator: str) -> list[tuple[str, ...]]:
    """The subscribed names, each as the tuple of its hierarchy parts; `separator` splits names of the old form."""
    text = data.decode("utf-8", "surrogateescape")
    modern = text.startswith("V\t2\n")
    lines = text.split("\n")[2 if modern else 0 :]
    result = []
    for line in lines:
        if not line:
            continue
        parts = tuple(unescape(part) for part in line.split("\t")) if modern else tuple(line.split(separator))
        if parts not in result:
            result.append(parts)
    return result


def format_file(names: Iterable[tuple[str, ...]], old: str = "") -> bytes:
    """The file's content in version 2, or in the old form with the separator `old`."""
    if old:
        return "".join(old.join(name) + "\n" for name in names).encode("utf-8", "surrogateescape")
    lines = ["\t".join(escape(part) for part in name) + "\n" for name in names]
    return (_MAGIC + "".join(lines)).encode("utf-8", "surrogateescape")


def read(control: Directory, separator: str) -> list[tuple[str, ...]]:
    """The subscriptions of a user; none if the file is missing."""
    return parse(_content(control), separator)


def _content(control: Directory) -> bytes:
    try:
        return control.read(NAME, CONTROL_FILE_LIMIT)
    except FileNotFoundError:
        return b""


def change(control: Directory, separator: str, name: tuple[str, ...], subscribed: bool) -> bool:
    """Subscribe or unsubscribe; returns whether the file changed. A file of the old form stays one."""
    with dotlock(control, NAME):
        content = _content(control)
        names = parse(content, separator)
        old = separator if content and not content.startswith(b"V\t2\n") else ""
        if (name in names) == subscribed:
            return False
        if subscribed:
            names.append(name)
        else:
            names.remove(name)
        control.replace(NAME, format_file(names, old), sync=False)
    return True
