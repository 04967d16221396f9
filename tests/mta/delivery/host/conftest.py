"""Users who exist for local(8) alone, and a mail system around it without sockets."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from mta.address import Extensions, Resolver
from mta.config import MainConfig
from mta.delivery.host import expansion, final, localsettings
from mta.delivery.host.local import Local
from mta.delivery.host.localsettings import LocalSettings
from mta.delivery.host.report import Report
from mta.delivery.host.rights import Rights, User
from mta.queue.message import Recipient
from tests.mta.delivery.host.letters import LETTER, ME, request


@pytest.fixture
def world(place: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """`await world.deliver("joe", alias_lines..., setting=value)`; users joe, ann and root with homes."""
    users = {}
    for name in ("joe", "ann", "root", "nobody"):
        home = place / "home" / name
        home.mkdir(parents=True)
        if os.geteuid() == 0:
            os.chown(home, ME.uid, ME.gid)
        users[name] = User(name, Rights(0, 0) if name == "root" else ME, str(home), "/bin/sh")
    spool = place / "mail"
    spool.mkdir()
    spool.chmod(0o1777)
    out = place / "out"
    out.mkdir()
    out.chmod(0o777)
    for module in (expansion, final, localsettings):
        monkeypatch.setattr(module, "user_named", users.get, raising=False)
    monkeypatch.setattr(expansion, "user_numbered", lambda uid: users["root" if uid == 0 else "joe"])
    monkeypatch.setattr(localsettings, "_owner_uid", lambda path: 0)
    made = SimpleNamespace(place=place, spool=spool, out=out, users=users)

    async def deliver(
        who: str | Recipient, aliases: str = "", content: bytes = LETTER, *, probe: bool = False, **settings: str
    ) -> Report:
        (place / "aliases").write_text(aliases)
        given = {
            "myhostname": "mail.example.com",
            "myorigin": "example.com",
            "mydestination": "example.com",
            "alias_maps": f"hash:{place}/aliases",
            "mail_spool_directory": str(spool),
            "queue_directory": str(place),
            "deliver_lock_attempts": "2",
            "deliver_lock_delay": "1",
            **settings,
        }
        (place / "main.cf").write_text("".join(f"{name} = {value}\n" for name, value in given.items()))
        config = MainConfig.load(place)
        resolver = Resolver(config)
        local = Local(LocalSettings.from_config(config, "local"), resolver, resolver.rewriter, Extensions.of(config))
        to = Recipient(f"{who}@example.com", f"{who}@example.com") if isinstance(who, str) else who
        [report] = await local.reports(request(to, content=content, probe=probe))
        return report

    made.deliver = deliver
    return made
