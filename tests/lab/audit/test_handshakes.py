"""Servers whose TLS no library speaks any more, played by hand: each weakness is found by its name."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from lab.audit.finding import Severity
from tests.lab.audit.conftest import Session, look, smtp
from tls.policy import Version
from tls.probe import SUITES
from tls.probe.suites import FALLBACK_SCSV

NUMBERS = {name: number for number, name in SUITES.items()}


@dataclass
class Old:
    """A server that speaks these versions and suites, as far as its first flight."""

    versions: Sequence[Version]
    suites: Sequence[str]
    compresses: bool = False
    renegotiates_safely: bool = True
    heeds_fallback: bool = True
    dh_bits: int = 2048
    ssl2: bool = False

    async def session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.readexactly(2)
        if first[0] & 0x80:
            if self.ssl2:
                writer.write(b"\x80\x21\4\0\1\0\2\0\0\0\3\0\x10\7\0\xc0" + bytes(16 + 3))
                await writer.drain()
            return
        length = struct.unpack(">BH", await reader.readexactly(3))[1]
        hello = await reader.readexactly(length)
        writer.write(self.answer(hello))
        await writer.drain()

    def answer(self, hello: bytes) -> bytes:
        version = int.from_bytes(hello[4:6], "big")
        at = 38 + 1 + hello[38]
        count = int.from_bytes(hello[at : at + 2], "big")
        offered = [int.from_bytes(hello[at + 2 + i : at + 4 + i], "big") for i in range(0, count, 2)]
        methods = hello[at + 3 + count : at + 3 + count + hello[at + 2 + count]]
        chosen = next((NUMBERS[name] for name in self.suites if NUMBERS[name] in offered), None)
        if FALLBACK_SCSV in offered and self.heeds_fallback and version < max(self.versions):
            return self.alert(version, 86)
        if version not in self.versions or b"\0\x2b\0\3\2\3\4" in hello or chosen is None:
            return self.alert(version, 40)
        body = struct.pack(">H", version) + bytes(32) + b"\0" + struct.pack(">H", chosen)
        body += b"\1" if self.compresses and 1 in methods else b"\0"
        if self.renegotiates_safely:
            body += b"\0\5\xff\1\0\1\0"
        messages = self.message(2, body)
        if "_DHE_" in SUITES[chosen]:
            messages += self.message(
                12, struct.pack(">H", self.dh_bits // 8) + b"\xff" * (self.dh_bits // 8) + b"\0\1\2\0\1\3"
            )
        messages += self.message(14, b"")
        return struct.pack(">BHH", 22, version, len(messages)) + messages

    @staticmethod
    def alert(version: int, description: int) -> bytes:
        return struct.pack(">BHHBB", 21, version, 2, 2, description)

    @staticmethod
    def message(kind: int, body: bytes) -> bytes:
        return bytes([kind]) + len(body).to_bytes(3, "big") + body


TLS12, GOOD = (Version.TLSv1_2,), ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",)


def session(**how: object) -> Session:
    return Old(**{"versions": TLS12, "suites": GOOD, **how}).session  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("how", "rule", "severity"),
    [
        ({"ssl2": True}, "protocol-floor", Severity.CRITICAL),
        ({"versions": (Version.SSLv3,)}, "protocol-floor", Severity.HIGH),
        ({"versions": (Version.TLSv1_1, Version.TLSv1_2)}, "protocol-floor", Severity.MEDIUM),
        ({"suites": ("TLS_RSA_WITH_NULL_SHA",)}, "cipher-null", Severity.HIGH),
        ({"suites": ("TLS_DH_anon_WITH_RC4_128_MD5",)}, "cipher-anonymous", Severity.MEDIUM),
        ({"suites": ("TLS_RSA_EXPORT_WITH_DES40_CBC_SHA",)}, "cipher-export", Severity.HIGH),
        ({"suites": ("TLS_DHE_RSA_WITH_DES_CBC_SHA",)}, "cipher-des", Severity.HIGH),
        ({"suites": ("TLS_ECDHE_RSA_WITH_RC4_128_SHA",)}, "cipher-rc4", Severity.MEDIUM),
        ({"suites": ("TLS_RSA_WITH_3DES_EDE_CBC_SHA",)}, "cipher-block64", Severity.MEDIUM),
        ({"suites": ("TLS_RSA_WITH_AES_128_GCM_SHA256",)}, "cipher-static", Severity.LOW),
        ({"compresses": True}, "tls-compression", Severity.MEDIUM),
        ({"renegotiates_safely": False}, "insecure-renegotiation", Severity.MEDIUM),
        ({"versions": (Version.TLSv1_1, Version.TLSv1_2), "heeds_fallback": False}, "fallback-scsv", Severity.LOW),
        ({"suites": ("TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",), "dh_bits": 512}, "dh-size", Severity.HIGH),
        ({"suites": ("TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",), "dh_bits": 1536}, "dh-size", Severity.MEDIUM),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_it_is_found(how: dict[str, object], rule: str, severity: Severity) -> None:
    target = await look("submission", smtp(tls=session(**how)), only=frozenset({"protocols"}))
    assert {finding.rule.id: finding.severity for finding in target.findings}[rule] is severity


async def test_nothing_is_found_where_nothing_is_wrong() -> None:
    good = {"suites": (*GOOD, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256")}
    target = await look("submission", smtp(tls=session(**good)), only=frozenset({"protocols"}))
    assert [finding.rule.id for finding in target.findings] == []
    assert sorted(dict(target.facts)["tls"]["TLSv1.2"]) == sorted(good["suites"])


@pytest.mark.parametrize("version", [Version.TLSv1_1, Version.TLSv1_3])
async def test_a_server_that_answers_with_what_was_not_offered_has_agreed_to_nothing(version: Version) -> None:
    async def tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(5)
        body = struct.pack(">H", version) + bytes(32) + b"\0" + struct.pack(">HB", 0x5600, 0)
        message = Old.message(2, body) + Old.message(14, b"")
        writer.write(struct.pack(">BHH", 22, 0x0303, len(message)) + message)
        await writer.drain()

    async with asyncio.timeout(20):
        target = await look("submission", smtp(tls=tls), only=frozenset({"protocols"}))
    assert "protocols" in dict(target.undecided)
