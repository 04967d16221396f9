"""local(8): what a name stands for, and where the mail ends."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mta.delivery.host.report import Report
from mta.delivery.result import Status
from mta.queue.message import Notify, Recipient


def said(report: Report) -> list[tuple[str, str]]:
    return [(step.dsn, step.reason) for step in report.steps]


def forwarded(report: Report) -> list[tuple[str, str, list[str]]]:
    return [(f.sender, f.delivered, [r.address for r in f.recipients]) for f in report.forwards]


async def test_a_mailbox_in_the_spool(world: SimpleNamespace) -> None:
    report = await world.deliver("Joe")
    assert said(report) == [("2.0.0", "delivered to mailbox")]
    first, *rest = (world.spool / "joe").read_text().split("\n")
    assert first.startswith("From sender@client.example  ")
    assert rest == [
        "Return-Path: <sender@client.example>",
        "X-Original-To: Joe@example.com",
        "Delivered-To: Joe@example.com",
        "Subject: hello",
        "",
        ">From me",
        ".dot",
        "",
        "",
    ]


async def test_a_maildir_at_home_with_what_is_missing_made(world: SimpleNamespace) -> None:
    report = await world.deliver("joe", home_mailbox="Mail/dir/")
    assert said(report) == [("2.0.0", "delivered to maildir")]
    [message] = (world.place / "home/joe/Mail/dir/new").iterdir()
    assert message.read_text().startswith("Return-Path: <sender@client.example>\nX-Original-To: joe@example.com\n")
    assert not list((world.place / "home/joe/Mail/dir/tmp").iterdir())


@pytest.mark.parametrize(
    ("aliases", "users"),
    [
        ("boss: joe", ["joe"]),
        ("boss: joe, ann", ["ann", "joe"]),
        ("boss: boss2\nboss2: joe", ["joe"]),
        ("joe: joe, ann\nboss: joe", ["ann", "joe"]),
        ("boss: joe, joe, JOE", ["joe"]),
    ],
)
async def test_aliases_lead_to_mailboxes(world: SimpleNamespace, aliases: str, users: list[str]) -> None:
    await world.deliver("boss", aliases)
    assert sorted(path.name for path in world.spool.iterdir()) == users


async def test_aliases_that_go_round_come_back(world: SimpleNamespace) -> None:
    report = await world.deliver("a", "a: b\nb: a")
    assert report.steps[0].dsn == "5.4.6"


async def test_a_missing_alias_table_defers(world: SimpleNamespace) -> None:
    report = await world.deliver("joe", alias_maps="hash:/nowhere/aliases")
    assert said(report) == [("4.3.0", "alias database unavailable")]


async def test_other_domains_are_sent_on_with_the_loop_breaker(world: SimpleNamespace) -> None:
    report = await world.deliver("boss", "boss: joe, ann@example.net")
    assert said(report) == [("2.0.0", "delivered to mailbox")]
    assert forwarded(report) == [("sender@client.example", "boss@example.com", ["ann@example.net"])]


async def test_a_list_with_an_owner_is_a_new_message_from_him(world: SimpleNamespace) -> None:
    to = Recipient("list@example.com", "list@example.com", "rfc822;list@example.com", Notify.SUCCESS)
    report = await world.deliver(to, "list: joe, ann@example.net\nowner-list: joe")
    assert forwarded(report) == [("owner-list@example.com", "list@example.com", ["joe@example.com", "ann@example.net"])]
    [forward] = report.forwards
    assert (forward.ret, forward.envid) == ("FULL", "E1")
    assert {(r.original, r.orcpt, r.notify) for r in forward.recipients} == {("", "", Notify.NEVER)}
    assert report.expanded == "delivered"


async def test_an_alias_passes_delivery_status_wishes_on(world: SimpleNamespace) -> None:
    to = Recipient("boss@example.com", "boss@example.com", "rfc822;boss@example.com", Notify.SUCCESS | Notify.FAILURE)
    report = await world.deliver(to, "boss: ann@example.net")
    [forward] = report.forwards
    assert (forward.ret, forward.envid, forward.recipients[0].notify) == ("FULL", "E1", Notify.FAILURE)
    assert report.expanded == "expanded"


async def test_what_waits_keeps_the_rest_from_being_sent_on(world: SimpleNamespace) -> None:
    report = await world.deliver("boss", 'boss: ann@example.net, "|exit 75"')
    assert [step.status for step in report.steps] == [Status.DEFERRED]
    assert report.forwards == []


async def test_a_message_that_was_here_before_is_returned(world: SimpleNamespace) -> None:
    report = await world.deliver("joe", content=b"Delivered-To: Joe@Example.com\r\n\r\nx\r\n")
    assert said(report) == [("5.4.6", "mail forwarding loop for joe@example.com")]


# --- .forward and :include: ----------------------------------------------------------------------------------------


def forward(world: SimpleNamespace, user: str, text: str, name: str = ".forward", mode: int = 0o644) -> None:
    path = world.place / "home" / user / name
    path.write_text(text)
    path.chmod(mode)


async def test_forward_files(world: SimpleNamespace) -> None:
    forward(world, "joe", "# gone\nann@example.net, joe\n")
    report = await world.deliver("joe")
    assert said(report) == [("2.0.0", "delivered to mailbox")]
    assert forwarded(report) == [("sender@client.example", "joe@example.com", ["ann@example.net"])]


async def test_an_empty_forward_file_forwards_nothing(world: SimpleNamespace) -> None:
    forward(world, "joe", "# nothing\n")
    assert said(await world.deliver("joe")) == [("2.0.0", "delivered to mailbox")]


async def test_a_forward_file_for_an_extension_comes_first(world: SimpleNamespace) -> None:
    forward(world, "joe", "elsewhere@example.net\n")
    forward(world, "joe", "special@example.net\n", ".forward+x")
    assert forwarded(await world.deliver("joe+x", recipient_delimiter="+"))[0][2] == ["special@example.net"]
    assert forwarded(await world.deliver("joe+y", recipient_delimiter="+"))[0][2] == ["elsewhere@example.net"]


async def test_forward_files_that_others_can_write_do_not_count(world: SimpleNamespace) -> None:
    forward(world, "joe", "evil@example.net\n", mode=0o666)
    report = await world.deliver("joe")
    assert (said(report), report.forwards) == ([("2.0.0", "delivered to mailbox")], [])


async def test_other_local_users_in_a_forward_file_get_a_message_of_their_own(world: SimpleNamespace) -> None:
    forward(world, "joe", "ann\n")
    assert forwarded(await world.deliver("joe"))[0][2] == ["ann@example.com"]


async def test_include_files_are_sent_on_and_may_name_no_commands(world: SimpleNamespace) -> None:
    (world.place / "members").write_text("joe\nann@example.net\n|/bin/true\n/etc/x\n")
    report = await world.deliver("list", f"list: :include:{world.place}/members")
    assert said(report) == [("5.7.1", "mail to command is restricted"), ("5.7.1", "mail to file is restricted")]
    assert forwarded(report)[0][2] == ["joe@example.com", "ann@example.net"]


@pytest.mark.parametrize("path", ["nowhere", "/nowhere/list", "{place}"])
async def test_include_files_that_are_none(world: SimpleNamespace, path: str) -> None:
    report = await world.deliver("list", f"list: :include:{path.format(place=world.place)}")
    assert said(report) == [("5.3.5", "mail system configuration error")]


async def test_include_files_within_include_files_end(world: SimpleNamespace) -> None:
    for number in range(120):
        (world.place / f"l{number}").write_text(f":include:{world.place}/l{number + 1}\n")
    report = await world.deliver("list", f"list: :include:{world.place}/l0")
    assert report.steps[0].dsn == "5.4.6"


# --- commands and files ----------------------------------------------------------------------------------------------


async def test_a_command_sees_the_message_and_what_it_is_about(world: SimpleNamespace) -> None:
    line = f'"|cat >{world.out}/seen; echo $USER $EXTENSION $SENDER $CLIENT_ADDRESS $SECRET >>{world.out}/seen"'
    report = await world.deliver("cmd+e`x", f"cmd: {line}", recipient_delimiter="+", export_environment="SECRET=s")
    assert report.steps[0].dsn == "2.0.0"
    seen = (world.out / "seen").read_text()
    assert seen.startswith("From sender@client.example  ")
    assert seen.endswith("From me\n.dot\ncmd e_x sender@client.example 192.0.2.1 s\n")


@pytest.mark.parametrize(
    ("command", "dsn", "reason"),
    [
        ("exit 75", "4.3.0", "temporary failure"),
        ("exit 67", "5.1.1", "user unknown"),
        ("echo full; exit 73", "5.2.0", "can't create user output file. Command output: full "),
        ("echo 4.7.9 later; exit 1", "4.7.9", "later "),
        ("exit 9", "5.3.0", 'Command died with status 9: "exit 9"'),
        ("kill -9 $$", "4.3.0", 'Command died with signal 9: "kill -9 $$"'),
        ("yes; exit 0", "5.3.0", None),
    ],
)
async def test_exit_codes(world: SimpleNamespace, command: str, dsn: str, reason: str | None) -> None:
    report = await world.deliver("cmd", f'cmd: "|{command}"', local_time_limit="1")
    [step] = report.steps
    assert step.dsn == dsn
    assert (
        step.reason.startswith('Command time limit exceeded: "yes; exit 0"')
        if reason is None
        else step.reason == reason
    )


async def test_a_command_that_is_not_there_waits(world: SimpleNamespace) -> None:
    [step] = (await world.deliver("cmd", "cmd: |/no/such/program")).steps
    assert (step.dsn, step.reason) == (
        "4.3.0",
        "temporary failure. Command output: local: fatal: execvp /no/such/program: No such file or directory ",
    )


async def test_commands_and_files_can_be_forbidden(world: SimpleNamespace) -> None:
    aliases = f"cmd: |/bin/true\nfile: {world.out}/f"
    settings = {"allow_mail_to_commands": "forward", "allow_mail_to_files": "forward"}
    assert said(await world.deliver("cmd", aliases, **settings)) == [("5.7.1", "mail to command is restricted")]
    assert said(await world.deliver("file", aliases, **settings)) == [("5.7.1", "mail to file is restricted")]


async def test_files(world: SimpleNamespace) -> None:
    for _ in range(2):
        report = await world.deliver("file", f"file: {world.out}/f")
        assert said(report) == [("2.0.0", f"delivered to file: {world.out}/f")]
    assert (world.out / "f").read_text().count("From sender@client.example  ") == 2


async def test_a_device_needs_no_lock(world: SimpleNamespace) -> None:
    assert said(await world.deliver("null", "null: /dev/null")) == [("2.0.0", "delivered to file: /dev/null")]


async def test_mailbox_command_takes_the_place_of_the_mailbox(world: SimpleNamespace) -> None:
    report = await world.deliver("joe", mailbox_command=f'echo "$USER $HOME" >{world.out}/done')
    assert report.steps[0].dsn == "2.0.0"
    assert (world.out / "done").read_text() == f"joe {world.place}/home/joe\n"


# --- elsewhere, or nobody --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["joe", "nosuch"])
async def test_mailbox_transport_takes_everybody(world: SimpleNamespace, who: str) -> None:
    report = await world.deliver(who, mailbox_transport="lmtp:unix:/x")
    assert [(h.target, h.address) for h in report.handovers] == [("lmtp:unix:/x", f"{who}@example.com")]


async def test_fallback_transport_takes_the_others(world: SimpleNamespace) -> None:
    assert (await world.deliver("joe", fallback_transport="lmtp:unix:/x")).handovers == []
    assert (await world.deliver("nosuch", fallback_transport="lmtp:unix:/x")).handovers[0].target == "lmtp:unix:/x"
    maps = "inline:{nosuch=smtp:[192.0.2.1]}"
    assert (await world.deliver("nosuch", fallback_transport_maps=maps)).handovers[0].target == "smtp:[192.0.2.1]"


async def test_unknown_users(world: SimpleNamespace) -> None:
    assert said(await world.deliver("nosuch")) == [("5.1.1", 'unknown user: "nosuch"')]
    assert said(await world.deliver("postmaster")) == [("2.0.0", "discarded")]
    assert said(await world.deliver("nosuch", luser_relay="joe")) == [("2.0.0", "delivered to mailbox")]
    report = await world.deliver("nosuch", luser_relay="all+$local@example.net")
    assert forwarded(report)[0][2] == ["all+nosuch@example.net"]
    assert said(await world.deliver("nosuch", luser_relay="$user")) == [("5.1.1", 'unknown user: "nosuch"')]


async def test_extensions_go_on_where_they_may(world: SimpleNamespace) -> None:
    settings = {"recipient_delimiter": "+", "propagate_unmatched_extensions": "alias"}
    report = await world.deliver("boss+x", "boss: ann@example.net", **settings)
    assert forwarded(report)[0][2] == ["ann+x@example.net"]
    settings["propagate_unmatched_extensions"] = "virtual"
    report = await world.deliver("boss+x", "boss: ann@example.net", **settings)
    assert forwarded(report)[0][2] == ["ann@example.net"]
