"""pass_attrs, user_attrs and iterate_attrs: which attributes become which fields (wiki AuthDatabase/LDAP)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from auth import variables
from auth.databases.base import BadArguments
from auth.request import AuthRequest

from .session import Found

_NAMED = re.compile(r"%[-0-9.]*[A-Z]*\{ldap(?:_ptr)?:([^:}]+)")


@dataclass(frozen=True, slots=True)
class Field:
    """One entry of such a list. ``template`` None: the attribute's value itself."""

    attribute: str
    name: str
    template: str | None = None


@dataclass(frozen=True, slots=True)
class Attributes:
    """A whole list; ``wanted`` is what to ask the server for, () for everything."""

    fields: tuple[Field, ...]
    wanted: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Attributes:
        """``attribute=field``, ``attribute=field=template``, ``=field=template``. Raises BadArguments."""
        fields, wanted = list[Field](), dict[str, None]()
        for entry in filter(None, (entry.strip() for entry in text.split(","))):
            if "@" in entry.partition("=")[0]:
                raise BadArguments(f"ldap: sub-queries are not supported: {entry}")
            attribute, equals, rest = entry.partition("=")
            name, templated, template = rest.partition("=")
            if not equals:
                name = attribute
            if not name:
                raise BadArguments(f"ldap: Invalid attrs entry: {entry}")
            skip = attribute.startswith("!")
            attribute = attribute.removeprefix("!")
            if templated and "%" not in template:
                template += "%$"  # of old: attribute=field=prefix
            if attribute:
                wanted[attribute] = None
            wanted |= dict.fromkeys(_NAMED.findall(template))
            if not skip:
                static = template if templated else None if attribute else ""
                fields.append(Field(attribute, name, static))
        return cls(tuple(fields), tuple(wanted))

    def of(self, entry: Found, request: AuthRequest) -> Iterator[tuple[str, tuple[str, ...]]]:
        """The fields of an entry, each with its values; none when the attribute is missing."""
        known = {name.lower(): values for name, values in entry.attributes.items()}
        for field in self.fields:
            values = known.get(field.attribute.lower(), ()) if field.attribute else ()
            name = _expand(field.name, entry, known, request, "")
            if field.template is not None and (values or not field.attribute):
                values = (_expand(field.template, entry, known, request, values[0] if values else ""),)
            yield name, values


def _expand(template: str, entry: Found, known: dict[str, tuple[str, ...]], request: AuthRequest, value: str) -> str:
    def attribute(text: str) -> str:
        name, _, default = text.partition(":")
        values = known.get(name.lower(), ())
        return values[0] if values else default

    def lookup(name: str) -> str | None:
        kind, _, rest = name.partition(":")
        match kind:
            case "$":
                return value
            case "ldap":
                return attribute(rest)
            case "ldap_ptr":
                pointed = attribute(rest)
                return attribute(pointed) if pointed else ""
            case "ldap_dn":
                return entry.name
        return request.variable(name)

    return variables.expand(template, lookup)
