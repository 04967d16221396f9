"""Probes of verify(8) and sendmail -bv: agents tell where mail would go, and write and run nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from mta.address import AddressSearch, Domains, Extensions, Rewriter
from mta.config import MainConfig
from mta.delivery.host.pipe import Pipe, PipeSettings
from mta.delivery.host.rights import Rights
from mta.delivery.host.virtual import Virtual, VirtualSettings
from tests.mta.delivery.host.letters import ME, request


def files(place: Path) -> set[Path]:
    return {path for path in place.rglob("*") if path.name not in ("main.cf", "aliases")}


@pytest.mark.parametrize(
    ("alias", "settings", "told"),
    [
        ("", {}, "delivers to mailbox"),
        ("", {"home_mailbox": "Maildir/"}, "delivers to maildir"),
        ("", {"mailbox_command": "/bin/touch OUT/ran"}, "delivers to command: /bin/touch OUT/ran"),
        ('joe: |"/bin/touch OUT/ran"', {}, "delivers to command: /bin/touch OUT/ran"),
        ("joe: /OUT/file", {"allow_mail_to_files": "alias"}, "delivers to file: /OUT/file"),
        ("joe: x@elsewhere.example", {}, "forwards to x@elsewhere.example"),
    ],
)
async def test_local(world: SimpleNamespace, alias: str, settings: dict[str, str], told: str) -> None:
    out = str(world.out)
    before = files(world.place)
    alias, told = (text.replace("/OUT", out).replace("OUT", out) for text in (alias, told))
    settings = {name: value.replace("OUT", out) for name, value in settings.items()}
    report = await world.deliver("joe", alias, probe=True, **settings)
    assert [(step.dsn, step.reason) for step in report.steps] == [("2.0.0", told)]
    assert report.forwards == []
    assert files(world.place) == before


async def test_local_knows_who_is_not_there(world: SimpleNamespace) -> None:
    report = await world.deliver("nobody-here", probe=True)
    assert [(step.dsn, step.reason) for step in report.steps] == [("5.1.1", 'unknown user: "nobody-here"')]


async def test_pipe(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    settings = PipeSettings("x", ("/bin/touch", str(ran)), Rights(ME.uid, ME.gid))
    [report] = await Pipe(settings, Extensions("")).reports(request("a@example.com", probe=True))
    assert [(step.dsn, step.reason) for step in report.steps] == [("2.0.0", "delivers to command: /bin/touch")]
    assert not ran.exists()


@pytest.mark.parametrize(("path", "kind"), [("a", "mailbox"), ("a/", "maildir")])
async def test_virtual(tmp_path: Path, path: str, kind: str) -> None:
    (tmp_path / "main.cf").write_text(
        f"virtual_mailbox_base = {tmp_path}\nvirtual_mailbox_maps = inline:{{a@example.com={path}}}\n"
        f"virtual_uid_maps = static:{ME.uid}\nvirtual_gid_maps = static:{ME.gid}\nvirtual_minimum_uid = 1\n"
    )
    config = MainConfig.load(tmp_path)
    search = AddressSearch(config, Domains(config), Rewriter.of(config))
    virtual = Virtual(VirtualSettings.from_config(config), search)
    [report] = await virtual.reports(request("a@example.com", probe=True))
    assert [(step.dsn, step.reason) for step in report.steps] == [("2.0.0", f"delivers to {kind}")]
    assert not (tmp_path / "a").exists()
