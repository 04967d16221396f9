"""pipe(8): the line of master.cf, the argument vector, the command."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest

from mta.address import Extensions
from mta.config import MainConfig, MasterConfig
from mta.config.expand import ExpandError
from mta.delivery.host import pipe
from mta.delivery.host.pipe import Pipe, PipeSettings
from mta.delivery.host.rights import Rights, User
from mta.queue.message import Recipient
from tests.mta.delivery.host.letters import ME, request

NOBODY = pwd.getpwnam("nobody")


def settings(tmp_path: Path, line: str, owner: Rights | None = None) -> PipeSettings:
    (tmp_path / "main.cf").write_text("")
    [service] = MasterConfig.parse(f"x unix - n n - - pipe {line}\n")
    return PipeSettings.from_service(service, MainConfig.load(tmp_path), owner)


def test_attributes(tmp_path: Path) -> None:
    line = "flags=DRh user=nobody directory=/tmp chroot=/srv eol=\\r\\n null_sender= size=100 argv=/bin/cat {a b} -x"
    found = settings(tmp_path, line)
    assert found.argv == ("/bin/cat", "a b", "-x")
    assert found.rights == Rights(NOBODY.pw_uid, NOBODY.pw_gid)
    assert (found.flags, found.eol, found.null_sender, found.size_limit) == (frozenset("DRh"), b"\r\n", "", 100)
    assert (found.directory, found.root, found.time_limit) == ("/tmp", "/srv", 1000.0)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("argv=/bin/cat", "missing user="),
        ("user=nobody", "missing argv="),
        ("user=root argv=/bin/cat", "root privileges"),
        ("user=nobody:root argv=/bin/cat", "root privileges"),
        ("user=no.such.user argv=/bin/cat", "unknown username"),
        ("user=nobody:no.such argv=/bin/cat", "unknown group"),
        ("user=nobody flags=Z argv=/bin/cat", "unknown flag: Z"),
        ("user=nobody size=1k argv=/bin/cat", "bad size="),
        ("user=nobody size=-1 argv=/bin/cat", "bad size="),
        ("user=nobody shell=yes argv=/bin/cat", "unknown attribute name"),
        ("user=nobody argv=", "names no command"),
    ],
)
def test_lines_that_cannot_work(tmp_path: Path, line: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        settings(tmp_path, line)


def test_the_mail_system_itself_runs_no_commands(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mail system owner"):
        settings(tmp_path, "user=nobody argv=/bin/cat", Rights(NOBODY.pw_uid, 1))


def arguments(argv: tuple[str, ...], *recipients: Recipient, flags: str = "", sender: str = "s@x") -> list[str]:
    made = Pipe(PipeSettings("x", argv, ME, frozenset(flags)), Extensions("+"))
    return made.arguments(request(*recipients, sender=sender), sender)


JOE = Recipient("Joe+Ext@Example.Net", "orig@example.net")
ANN = Recipient("ann lee@example.net", "ann lee@example.net")


@pytest.mark.parametrize(
    ("argv", "flags", "expected"),
    [
        (
            ("-f", "${sender}", "--", "${recipient}"),
            "",
            ["-f", "s@x", "--", "Joe+Ext@Example.Net", "ann lee@example.net"],
        ),
        (("${recipient}",), "q", ["Joe+Ext@Example.Net", '"ann lee"@example.net']),
        (("${recipient}",), "u", ["joe+ext@Example.Net", "ann lee@example.net"]),
        (("${recipient}",), "h", ["Joe+Ext@example.net", "ann lee@example.net"]),
        (("${user}=${extension}",), "", ["Joe=Ext", "ann lee="]),
        (("$(mailbox)/$domain",), "", ["Joe+Ext/Example.Net", "ann lee/example.net"]),
        (("${original_recipient}",), "", ["orig@example.net", "ann lee@example.net"]),
        (("$nexthop", "$$x", "${size}", "${queue_id}"), "", ["example.com", "$x", "33", "1A2B3C"]),
        (("${client_address}", "${client_hostname}"), "", ["192.0.2.1", "client.example"]),
        (("${sasl_username}",), "", [""]),
    ],
)
def test_macros(argv: tuple[str, ...], flags: str, expected: list[str]) -> None:
    assert arguments(argv, JOE, ANN, flags=flags) == expected


def test_what_a_sender_writes_is_never_expanded() -> None:
    assert arguments(("$sender",), JOE, sender="${recipient}$(x)`id`@x") == ["${recipient}$(x)`id`@x"]


def test_unknown_macros() -> None:
    with pytest.raises(ExpandError, match="unknown macro name"):
        arguments(("$nosuch",), JOE)


async def deliver(argv: tuple[str, ...], **given: object) -> tuple[str, str, str]:
    recipients = given.pop("to", ("joe@example.net",))
    content = given.pop("content", b"Subject: x\r\n\r\nbody\r\n")
    made = Pipe(PipeSettings("filter", argv, ME, **given), Extensions("+"))
    [report, *_] = await made.reports(request(*recipients, content=content))
    [step] = report.steps
    return step.dsn, step.reason, step.action


@pytest.mark.parametrize(
    ("given", "outcome"),
    [
        ({"argv": ("/bin/sh", "-c", "cat >/dev/null")}, ("2.0.0", "delivered via filter service", "relayed")),
        ({"argv": ("/bin/echo", "ok"), "flags": frozenset("X")}, ("2.0.0", "delivered via filter service (ok)", "")),
        ({"argv": ("/bin/cat",), "size_limit": 5}, ("5.2.3", "message too large", "")),
        (
            {"argv": ("/bin/cat",), "flags": frozenset("D"), "to": ("a@b", "c@d")},
            ("4.3.5", "mail system configuration error", ""),
        ),
        ({"argv": ("$nosuch",)}, ("4.3.5", "mail system configuration error", "")),
        (
            {"argv": ("/bin/cat",), "flags": frozenset("D"), "content": b"Delivered-To: Joe@example.net\r\n\r\n"},
            ("5.4.6", "mail forwarding loop for joe@example.net", ""),
        ),
        ({"argv": ("/bin/sh", "-c", "exit 75")}, ("4.3.0", "temporary failure", "")),
        ({"argv": ("/bin/true",), "directory": "/no/such"}, None),
    ],
)
async def test_outcomes(given: dict[str, object], outcome: tuple[str, str, str] | None) -> None:
    found = await deliver(**given)
    if outcome is None:
        assert found[0] == "4.3.0"
        assert 'cannot change directory to "/no/such"' in found[1]
    else:
        assert found == outcome


async def test_no_shell_sees_the_arguments(place: Path) -> None:
    place.chmod(0o777)
    await deliver(("/usr/bin/touch", f"{place}/a;b $$(x)"))
    assert [path.name for path in place.iterdir()] == ["a;b $(x)"]


def test_names_are_looked_up_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipe, "user_named", lambda name: User(name, Rights(77, 78), "/", ""))
    assert settings(tmp_path, "user=who argv=/bin/cat").rights == Rights(77, 78)
