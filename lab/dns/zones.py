"""The lab's zones: master files (RFC 1035 section 5) and the authoritative answer to one question (RFC 1034 4.3.2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dns.exception
import dns.name
import dns.node
import dns.rcode
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.rrset
import dns.zone

from lab.errors import LabError

_FAULT = "lab:"
_FAULTS = {"servfail": dns.rcode.SERVFAIL, "refused": dns.rcode.REFUSED, "silent": None}
_LONGEST_CHAIN = 8
"""CNAME records followed for one answer; a loop in a zone file must end."""


class ZoneError(LabError):
    """A zone file cannot be used; the text names file, line and cause."""


@dataclass
class Answer:
    """The sections of an answer. `code` None: say nothing at all, as a dead server would."""

    code: dns.rcode.Rcode | None = dns.rcode.NOERROR
    answers: list[dns.rrset.RRset] = field(default_factory=list)
    authority: list[dns.rrset.RRset] = field(default_factory=list)
    additional: list[dns.rrset.RRset] = field(default_factory=list)
    authoritative: bool = True


class Zones:
    """
    Zones by their origin.

    A name whose TXT record says `lab:servfail`, `lab:refused` or `lab:silent` answers so to every question about it
    and about the names below it: a name server that is broken, unwilling or gone.
    """

    def __init__(self, zones: Iterable[dns.zone.Zone]) -> None:
        self._zones = {_origin(zone): zone for zone in zones}
        self._faults = {name: code for zone in self._zones.values() for name, code in _faults(zone)}
        # Every name on the way to an existing one exists too, without records (RFC 8020).
        self._existing = {
            ancestor
            for zone in self._zones.values()
            for name in zone.nodes
            for ancestor in _ancestors(_absolute(name), _origin(zone))
        }

    @classmethod
    def load(cls, directory: Path) -> Zones:
        """Every `*.zone` of the directory. Raises ZoneError."""
        return cls([_read(path) for path in sorted(directory.glob("*.zone"))])

    @property
    def origins(self) -> Sequence[str]:
        """The names of the zones, sorted."""
        return sorted(origin.to_text() for origin in self._zones)

    def answer(self, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> Answer:
        """The answer to a question of class IN; REFUSED for what is none of ours."""
        answer = Answer()
        for _ in range(_LONGEST_CHAIN):
            zone = self._zone_of(name)
            if zone is None:
                # The end of a CNAME chain that leads out is for the asker's own resolver.
                return answer if answer.answers else Answer(dns.rcode.REFUSED, authoritative=False)
            for ancestor in _ancestors(name, _origin(zone)):
                if ancestor in self._faults:
                    return Answer(self._faults[ancestor], authoritative=False)
            target = self._step(answer, zone, name, kind)
            if target is None:
                return answer
            name = target
        return Answer(dns.rcode.SERVFAIL, authoritative=False)

    def _step(
        self, answer: Answer, zone: dns.zone.Zone, name: dns.name.Name, kind: dns.rdatatype.RdataType
    ) -> dns.name.Name | None:
        """Add what the zone knows about the name; the name to go on with, if it is an alias."""
        node = self._node(zone, name)
        if node is None:
            answer.code = dns.rcode.NOERROR if name in self._existing else dns.rcode.NXDOMAIN
            answer.authority.extend(_start_of_authority(zone))
            return None
        alias = node.get_rdataset(dns.rdataclass.IN, dns.rdatatype.CNAME)
        if alias is not None and kind not in (dns.rdatatype.CNAME, dns.rdatatype.ANY):
            answer.answers.append(_rrset(name, alias))
            target: dns.name.Name = alias[0].target
            return target
        found = [_rrset(name, rdataset) for rdataset in node if kind in (rdataset.rdtype, dns.rdatatype.ANY)]
        answer.answers.extend(found)
        answer.additional.extend(self._addresses(found))
        if not found:
            answer.authority.extend(_start_of_authority(zone))
        return None

    def _node(self, zone: dns.zone.Zone, name: dns.name.Name) -> dns.node.Node | None:
        """The node of the name, else the wildcard that speaks for it (RFC 4592 section 3.3.1)."""
        node = zone.nodes.get(name)
        if node is not None or name in self._existing:
            return node
        for ancestor in _ancestors(name, _origin(zone)):
            if ancestor != name and ancestor in self._existing:
                return zone.nodes.get(dns.name.Name((b"*", *ancestor.labels)))
        return None

    def _zone_of(self, name: dns.name.Name) -> dns.zone.Zone | None:
        """The zone whose origin is the longest suffix of the name."""
        for ancestor in _ancestors(name, dns.name.root):
            if ancestor in self._zones:
                return self._zones[ancestor]
        return None

    def _addresses(self, rrsets: Iterable[dns.rrset.RRset]) -> list[dns.rrset.RRset]:
        """The addresses of the hosts that MX, SRV and NS records name, as far as we know them."""
        hosts: set[Any] = {
            getattr(rdata, "exchange", None) or getattr(rdata, "target", None)
            for rrset in rrsets
            if rrset.rdtype in (dns.rdatatype.MX, dns.rdatatype.SRV, dns.rdatatype.NS)
            for rdata in rrset
        }
        found = []
        for host in sorted(hosts - {None}):
            zone = self._zone_of(host)
            node = zone.nodes.get(host) if zone is not None else None
            for kind in (dns.rdatatype.A, dns.rdatatype.AAAA):
                rdataset = node.get_rdataset(dns.rdataclass.IN, kind) if node is not None else None
                if rdataset is not None:
                    found.append(_rrset(host, rdataset))
        return found


def _read(path: Path) -> dns.zone.Zone:
    """A master file; its origin is its first $ORIGIN, else its name without `.zone`. Raises ZoneError."""
    try:
        text = path.read_text("utf-8")
        origin = None if "$ORIGIN" in text else path.name.removesuffix(".zone") + "."
        return dns.zone.from_text(text, origin, relativize=False, filename=str(path))
    except UnicodeDecodeError as error:
        raise ZoneError(f"{path}: not UTF-8 text") from error
    except dns.exception.SyntaxError as error:
        raise ZoneError(str(error)) from error  # it names file and line itself
    except (OSError, dns.exception.DNSException) as error:
        raise ZoneError(f"{path}: {str(error) or type(error).__name__}") from error


def _faults(zone: dns.zone.Zone) -> Iterable[tuple[dns.name.Name, dns.rcode.Rcode | None]]:
    for name, node in zone.nodes.items():
        texts = node.get_rdataset(dns.rdataclass.IN, dns.rdatatype.TXT) or ()
        for text in (b"".join(rdata.strings).decode("ascii", "replace") for rdata in texts):
            if text.startswith(_FAULT):
                fault = text.removeprefix(_FAULT)
                if fault not in _FAULTS:
                    raise ZoneError(f"{name}: unknown fault {text!r}: one of {', '.join(_FAULTS)}")
                yield _absolute(name), _FAULTS[fault]


def _ancestors(name: dns.name.Name, origin: dns.name.Name) -> Iterable[dns.name.Name]:
    """The name itself and those above it, up to and with the origin."""
    while True:
        yield name
        if name in (origin, dns.name.root):
            return
        name = name.parent()


def _origin(zone: dns.zone.Zone) -> dns.name.Name:
    assert zone.origin is not None  # the parser insists on one
    return zone.origin


def _absolute(name: object) -> dns.name.Name:
    assert isinstance(name, dns.name.Name)
    return name


def _rrset(name: dns.name.Name, rdataset: dns.rdataset.Rdataset) -> dns.rrset.RRset:
    return dns.rrset.from_rdata_list(name, rdataset.ttl, list(rdataset))


def _start_of_authority(zone: dns.zone.Zone) -> list[dns.rrset.RRset]:
    soa = zone.get_rdataset(_origin(zone), dns.rdatatype.SOA)
    return [_rrset(_origin(zone), soa)] if soa is not None else []
