"""dict as passdb and userdb, by a dovecot-dict-auth.conf.ext (wiki AuthDatabase/Dict): key and value pairs, or JSON.

Of Dovecot's dictionaries the file is offered (``uri = file:/path``): a key and its value on two lines, tab-escaped.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from auth import variables
from auth.protocol.wire import unescape
from auth.request import AuthRequest

from .base import UNKNOWN, BadArguments, DatabaseError, Entry, Pairs, PassDatabase, UserDatabase, Verdict
from .extfile import settings
from .fields import entry_of

FILE_MAX = 64 << 20
"""Octets of the dictionary."""

SHARED = "shared/"
"""What Dovecot puts before keys that belong to no user of the dictionary."""


@dataclass
class Key:
    """A ``key NAME { }`` block. ``default`` None: without the key there is no such user."""

    key: str = ""
    json: bool = False
    default: str | None = None


@dataclass
class _Settings:
    uri: str = ""
    scheme: str = "MD5"
    iterate_prefix: str = ""
    keys: dict[str, Key] = field(default_factory=dict)
    fields: dict[str, dict[str, str]] = field(default_factory=lambda: {"passdb_fields": {}, "userdb_fields": {}})
    objects: dict[str, list[str]] = field(default_factory=lambda: {"passdb_objects": [], "userdb_objects": []})


class DictSource:
    """One configuration file and the dictionary behind it."""

    def __init__(self, args: str) -> None:
        if not args:
            raise BadArguments("dict: Configuration file path not given")
        self._path = Path(args)
        self.settings = _Settings()
        for (kind, name), key, value, number in settings(self._path):
            if not self._take(kind, name, key, value):
                raise BadArguments(f"Error in configuration file {args} line {number}: Unknown setting: {key}")
        if not self.settings.uri:
            raise BadArguments(f"dict {args}: Empty uri setting")
        driver, _, rest = self.settings.uri.partition(":")
        if driver != "file":
            raise BadArguments(f"dict {args}: Unknown dict module: {driver} (known: file)")
        self.file = Path(rest.partition(":")[0])
        for use, names in self.settings.objects.items():
            for name in names:
                if name not in self.settings.keys or not self.settings.keys[name].json:
                    raise BadArguments(f"dict: {use} refers to key {name}, which doesn't exist or is no JSON")
        self._stamp = (0, 0, 0)
        self._pairs: dict[str, str] = {}

    def _take(self, kind: str, name: str, key: str, value: str) -> bool:
        """Keep a setting; whether it exists."""
        found = self.settings
        match kind, key:
            case "", "uri":
                found.uri = value
            case "", "default_pass_scheme":
                found.scheme = value
            case "", "iterate_prefix":
                found.iterate_prefix = value
            case "", "iterate_disable":
                pass
            case "", "passdb_objects" | "userdb_objects":
                found.objects[key] = value.split()
            case "", "password_key" | "user_key":  # of old: one JSON object for each
                use = "passdb" if key == "password_key" else "userdb"
                found.keys[use] = Key(value, json=True)
                found.objects[f"{use}_objects"].append(use)
            case "passdb_fields" | "userdb_fields", _:
                found.fields[kind][key] = value
            case "key", "key":
                self._key(name).key = value
            case "key", "format":
                self._key(name).json = value == "json"
                return value in ("json", "value")
            case "key", "default_value":
                self._key(name).default = value
            case _:
                return False
        return True

    def _key(self, name: str) -> Key:
        return self.settings.keys.setdefault(name, Key())

    def pairs(self) -> dict[str, str]:
        """The dictionary, read again when the file has changed; empty without one. Raises DatabaseError."""
        try:
            status = self.file.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp != self._stamp:
                if status.st_size > FILE_MAX:
                    raise DatabaseError(f"dict {self.file}: larger than {FILE_MAX} bytes")
                lines = self.file.read_bytes().decode("utf-8", "surrogateescape").split("\n")
                self._pairs = {unescape(k): unescape(v) for k, v in zip(lines[::2], lines[1::2], strict=False)}
                self._stamp = stamp
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise DatabaseError(f"dict {self.file}: {os.strerror(error.errno or 0)}") from None
        return self._pairs

    def fields(self, use: str, request: AuthRequest) -> list[tuple[str, str]] | None:
        """The fields of a user for ``passdb`` or ``userdb``, None for none. Raises DatabaseError, UnknownVariable."""
        templates, objects = self.settings.fields[f"{use}_fields"], self.settings.objects[f"{use}_objects"]
        if not templates and not objects:
            raise DatabaseError(f"dict: No {use}_objects or {use}_fields specified")
        named = {name for text in templates.values() for name in _dict_names(text)} | set(objects)
        pairs, values = self.pairs(), dict[str, str]()
        for name, key in self.settings.keys.items():
            if name in named:
                value = pairs.get(SHARED + request.expand(key.key), key.default)
                if value is None:
                    return None
                values[name] = value
        lookup = self._lookup(values, request)
        found = [(name, variables.expand(text, lookup)) for name, text in templates.items()]
        for name in objects:
            found += _object(name, values[name])
        return found

    def _lookup(self, values: dict[str, str], request: AuthRequest) -> Callable[[str], str | None]:
        """``%{dict:KEY}`` and ``%{dict:KEY.MEMBER}``, and the variables of the request."""

        def lookup(name: str) -> str | None:
            kind, colon, rest = name.partition(":")
            if kind != "dict" or not colon:
                return request.variable(name)
            key, dot, member = rest.partition(".")
            if key not in values:
                return ""
            return dict(_object(key, values[key])).get(member, "") if dot else values[key]

        return lookup


def _dict_names(text: str) -> Iterator[str]:
    for name in variables.names(text):
        if name.startswith("dict:"):
            yield name.removeprefix("dict:").partition(".")[0]


def _object(name: str, text: str) -> list[tuple[str, str]]:
    """The members of a JSON object as fields. Raises DatabaseError."""
    try:
        found = json.loads(text, parse_float=str, parse_int=str)  # numbers as they are written
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str | bool | None) for value in found.values()):
        raise DatabaseError(f"dict: the value of key {name} is no JSON object of plain values")
    return [(key, json.dumps(v) if isinstance(v, bool) else str(v)) for key, v in found.items() if v is not None]


class DictPassdb(PassDatabase):
    """passdb_objects and passdb_fields."""

    driver = "dict"
    immediate = True

    def __init__(self, source: DictSource) -> None:
        super().__init__(source.settings.scheme)
        self._source = source

    async def lookup(self, request: AuthRequest) -> Entry | Verdict:
        found = self._source.fields("passdb", request)
        return UNKNOWN if found is None else entry_of(found, self.default_scheme, request)


class DictUserdb(UserDatabase):
    """userdb_objects and userdb_fields; iterate_prefix lists the users."""

    driver = "dict"
    iterable = True
    immediate = True

    def __init__(self, source: DictSource) -> None:
        self._source = source

    async def lookup(self, request: AuthRequest) -> Pairs | None:
        return self._source.fields("userdb", request)

    async def users(self, request: AuthRequest) -> AsyncIterator[str]:
        prefix = self._source.settings.iterate_prefix
        if not prefix:
            raise DatabaseError("iterate: iterate_prefix not set")
        prefix = SHARED + request.expand(prefix)
        for key in self._source.pairs():
            if key.startswith(prefix) and "/" not in key[len(prefix) :]:
                yield key[len(prefix) :]
