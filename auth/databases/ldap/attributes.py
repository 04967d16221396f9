"""pass_attrs, user_attrs and iterate_attrs: which attributes become which fields (wiki AuthDatabase/LDAP).

A field called ``@NAME`` holds the name of another entry, which is then asked for, too (a sub-query): ``attribute@NAME``
is an attribute of that one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from auth import variables
from auth.databases.base import BadArguments
from auth.request import AuthRequest

from .session import Found

_NAMED = re.compile(r"%[-0-9.]*[A-Z]*\{ldap(?:_ptr)?:([^:}]+)")

Values = Mapping[str, tuple[str, ...]]
"""Attributes by their names in lower case, those of sub-queries with ``@NAME`` behind."""


@dataclass(frozen=True, slots=True)
class Field:
    """One entry of such a list. ``template`` None: the attribute's value itself."""

    attribute: str
    name: str
    template: str | None = None


@dataclass(frozen=True, slots=True)
class Attributes:
    """A whole list; ``wanted`` is what to ask the server for, () for everything. ``pointers`` are the sub-queries."""

    fields: tuple[Field, ...]
    wanted: tuple[str, ...]
    pointers: tuple[tuple[Field, tuple[str, ...]], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Attributes:
        """``attribute=field``, ``attribute=field=template``, ``=field=template``, and for short ``@NAME=template``.
        Raises BadArguments."""
        fields, pointers, wanted = list[Field](), list[Field](), dict[str, None]()
        for entry in filter(None, (entry.strip() for entry in text.split(","))):
            attribute, equals, rest = ("=" * entry.startswith("@") + entry).partition("=")
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
                found = Field(attribute, name.removeprefix("@"), static)
                (pointers if name.startswith("@") else fields).append(found)
        parts = [name.partition("@") for name in wanted]
        return cls(
            tuple(fields),
            tuple(name for name, at, _ in parts if not at),
            tuple((field, tuple(name for name, _, of in parts if of == field.name)) for field in pointers),
        )

    def pointed(self, entry: Found, request: AuthRequest) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        """The sub-queries of an entry: NAME, the other entry's name, and the attributes wanted of it."""
        known = attributes_of(entry)
        for field, wanted in self.pointers:
            values = _values(field, entry, known, request)
            if values and values[0]:
                yield field.name, values[0], wanted

    def of(self, entry: Found, request: AuthRequest) -> Iterator[tuple[str, tuple[str, ...]]]:
        """The fields of an entry, each with its values; none when the attribute is missing."""
        known = attributes_of(entry)
        for field in self.fields:
            name = _expand(field.name, entry, known, request, "")
            yield name, _values(field, entry, known, request)


def attributes_of(entry: Found, name: str = "") -> Values:
    """The attributes of an entry; those of the one that ``@NAME`` points to."""
    suffix = f"@{name}".lower() if name else ""
    return {attribute.lower() + suffix: values for attribute, values in entry.attributes.items()}


def _values(field: Field, entry: Found, known: Values, request: AuthRequest) -> tuple[str, ...]:
    values = known.get(field.attribute.lower(), ()) if field.attribute else ()
    if field.template is not None and (values or not field.attribute):
        return (_expand(field.template, entry, known, request, values[0] if values else ""),)
    return values


def _expand(template: str, entry: Found, known: Values, request: AuthRequest, value: str) -> str:
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
                pointed, (_, at, of) = attribute(rest), rest.partition(":")[0].partition("@")
                return attribute(pointed + at + of) if pointed else ""
            case "ldap_dn":
                return entry.name
        return request.variable(name)

    return variables.expand(template, lookup)
