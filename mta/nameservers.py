"""Questions to name servers, by dnspython: one at a time, nothing remembered (mta.dns does that)."""

import io
import logging
from collections.abc import Sequence

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.name
import dns.nameserver
import dns.rdata
import dns.rdatatype

# dnspython looks for these when it meets the first record of a type; a jailed process must have them already.
import dns.rdtypes.ANY.CNAME
import dns.rdtypes.ANY.MX
import dns.rdtypes.ANY.NS
import dns.rdtypes.ANY.OPT
import dns.rdtypes.ANY.PTR
import dns.rdtypes.ANY.SOA
import dns.rdtypes.ANY.TXT
import dns.rdtypes.IN.A
import dns.rdtypes.IN.AAAA
import dns.resolver

from mta.dns import Answer, Limits, NotFound, Record, TempFail

log = logging.getLogger("postfix.dns")
# For the same reason: the back end is otherwise loaded with the first question.
dns.asyncbackend.get_backend("asyncio")

# Records used of one answer: DNSBLs give a handful, a hostile zone may give thousands.
RECORD_LIMIT = 100


class NameServers:
    """The servers to ask, in order."""

    def __init__(self, addresses: Sequence[tuple[str, int]], resolv_conf: str, limits: Limits) -> None:
        """Those at these addresses and ports; without any those of `resolv_conf`, the text of a resolv.conf(5)."""
        self._lifetime = limits.lifetime
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        if addresses:
            self._resolver.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in addresses]
        else:
            try:
                self._resolver.read_resolv_conf(io.StringIO(resolv_conf))
            except dns.resolver.NoResolverConfiguration as error:
                log.warning("/etc/resolv.conf: %s", error)
        self._resolver.timeout = limits.timeout
        self._resolver.lifetime = limits.lifetime
        self._resolver.cache = None

    async def ask(self, name: str, kind: str) -> Answer:
        """The records of one name and type. Raises NotFound, TempFail."""
        try:
            question = dns.name.from_text(name) if name else dns.name.root
            rdtype = dns.rdatatype.from_text(kind)
        except (dns.exception.DNSException, UnicodeError, ValueError) as error:
            raise NotFound(name, kind, "malformed name", exists=False) from error
        try:
            answer = await self._resolver.resolve(question, rdtype, search=False, lifetime=self._lifetime)
        except dns.resolver.NXDOMAIN as error:
            raise NotFound(name, kind, "Host or domain name not found", exists=False) from error
        except dns.resolver.NoAnswer as error:
            raise NotFound(name, kind, "no record of this type", exists=True) from error
        except (dns.exception.DNSException, OSError, ValueError) as error:
            raise TempFail(name, kind, f"try again ({type(error).__name__})") from error
        rrset = answer.rrset
        if rrset is None:
            raise NotFound(name, kind, "no record of this type", exists=True)
        records = tuple(_record(kind, rdata, rrset.ttl) for rdata in list(rrset)[:RECORD_LIMIT])
        secure = bool(answer.response.flags & dns.flags.AD)
        return Answer(answer.canonical_name.to_text(omit_final_dot=True), records, secure)


def _record(kind: str, rdata: dns.rdata.Rdata, ttl: int) -> Record:
    match kind:
        case "MX":
            return Record(kind, _target(rdata, "exchange"), int(getattr(rdata, "preference", 0)), ttl)
        case "PTR" | "CNAME" | "NS":
            return Record(kind, _target(rdata, "target"), 0, ttl)
        case "TXT":
            strings: tuple[bytes, ...] = getattr(rdata, "strings", ())
            return Record(kind, b"".join(strings).decode("utf-8", "replace"), 0, ttl)
        case "A" | "AAAA":
            return Record(kind, str(getattr(rdata, "address", "")), 0, ttl)
        case _:
            return Record(kind, rdata.to_text(), 0, ttl)


def _target(rdata: dns.rdata.Rdata, field: str) -> str:
    name: dns.name.Name = getattr(rdata, field)
    return name.to_text(omit_final_dot=True) if name != dns.name.root else ""
