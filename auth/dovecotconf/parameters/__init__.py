"""All parameters of dovecot.conf that are known, by section: the one table behind reading, checking and doveconf."""

from __future__ import annotations

from collections.abc import Mapping

from . import authentication, base, encryption, mail, own, protocols
from .blocks import BLOCKS
from .declare import Kind, Parameter

__all__ = ["FREE_BLOCKS", "GLOBAL", "SECTIONS", "Kind", "Parameter"]

GLOBAL: Mapping[str, Parameter] = {
    parameter.name: parameter
    for module in (authentication, base, encryption, mail, protocols, own)
    for parameter in module.PARAMETERS
}

SECTIONS: Mapping[str, Mapping[str, Parameter]] = {
    "": GLOBAL,
    **{path: {parameter.name: parameter for parameter in rows} for path, rows in BLOCKS.items()},
}
"""Parameters by the path of their block; ``""`` is the file's top level (also inside protocol, local and remote)."""

FREE_BLOCKS = frozenset({"plugin", "dict"})
"""Blocks whose settings may have any name; Dovecot keeps them as a list of strings."""
