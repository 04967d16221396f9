"""The two sides of the socket, and how reports become results."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from mta.config import MainConfig
from mta.delivery.host import link, service
from mta.delivery.host.agent import HostAgent
from mta.delivery.host.forwarder import Forwarder
from mta.delivery.host.link import Remote
from mta.delivery.host.report import Forward, Handover, Report, Step, from_wire, to_wire
from mta.delivery.request import Request
from mta.delivery.result import Dsn, Result, Status
from mta.message import Rejected, Submission
from mta.queue.message import NewMessage, Notify, Recipient
from tests.mta.delivery.host.letters import request

FULL = Report(
    3,
    [Step.of("a@b", "4.2.0", "later", detail="said"), Step.of("c@d", "2.0.0", "done", "relayed")],
    [Forward("s@x", "d@x", [Recipient("r@x", "o@x", "rfc822;o@x", Notify.FAILURE)], "FULL", "E")],
    [Handover("lmtp:unix:/x", "h@x")],
    "expanded",
)


@dataclass
class Scripted:
    """A deliverer that says what it is told to."""

    told: Sequence[Report] = ()
    error: Exception | None = None
    asked: list[Request] = field(default_factory=list)

    async def reports(self, request: Request) -> list[Report]:
        self.asked.append(request)
        if self.error:
            raise self.error
        return list(self.told)

    async def deliver(self, request: Request) -> list[Result]:
        self.asked.append(request)
        return request.all_same(Status.SENT, Dsn("2.1.5", "elsewhere"))

    async def close(self) -> None:
        return


@dataclass
class Cleanup:
    """What was forwarded."""

    seen: list[Submission] = field(default_factory=list)
    refuse: Rejected | None = None

    async def __call__(self, submission: Submission) -> NewMessage | None:
        self.seen.append(submission)
        if self.refuse:
            raise self.refuse
        return NewMessage(submission.sender, list(submission.recipients), submission.content)


def agent(*reports: Report, error: Exception | None = None, cleanup: Cleanup | None = None) -> SimpleNamespace:
    cleanup = cleanup or Cleanup()

    async def put(message: NewMessage) -> str:
        return message.queue_id

    forwarder = Forwarder(cleanup, "mail.example.com", "Postfix", new_id=lambda: "NEW", put=put)
    other, deliverer = Scripted(), Scripted(reports, error)
    made = HostAgent("local", "local", deliverer, lambda name: other, forwarder, clock=lambda: 1_800_000_001.0)
    return SimpleNamespace(agent=made, other=other, forwarded=cleanup.seen)


def test_reports_survive_the_wire() -> None:
    assert from_wire(json.loads(json.dumps(to_wire(FULL)))) == FULL


async def test_requests_survive_the_wire() -> None:
    sent = request(Recipient("a@b", "o@b", "rfc822;o@b", Notify.NEVER), "joe\udcff@b", content=b"\xff\r\n")
    reader = asyncio.StreamReader()
    reader.feed_data(link.encode(sent))
    got = await link.receive(reader)
    assert got.message == sent.message
    assert (list(got.recipients), got.read_content(), got.nexthop) == (sent.recipients, b"\xff\r\n", "example.com")


async def test_too_much_is_not_read() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(link.HEAD.pack(link.MAX_ENVELOPE + 1, 0))
    with pytest.raises(ValueError, match="too large"):
        await link.receive(reader)


async def test_a_report_of_success() -> None:
    made = agent(Report(0, [Step.of("joe@b", "2.0.0", "delivered to mailbox")]))
    [result] = await made.agent.deliver(request("alias@b"))
    assert (result.status, result.relay, result.final) == (Status.SENT, "local", "")
    assert result.recipient.recipient.address == "alias@b"


async def test_what_waits_outweighs_what_failed_and_what_went_well(caplog: pytest.LogCaptureFixture) -> None:
    steps = [Step.of("a@b", "2.0.0", "x"), Step.of("b@b", "5.1.1", "y"), Step.of("c@b", "4.2.0", "z")]
    made = agent(Report(0, steps, [Forward("s@x", "d@x", [Recipient("r@x")])]))
    with caplog.at_level(logging.INFO, "postfix.local"):
        [result] = await made.agent.deliver(request("alias@b"))
    assert (result.status, result.dsn.reason) == (Status.DEFERRED, "z")
    assert made.forwarded == []
    assert [text.split("status=")[1] for text in caplog.messages] == ["sent (x)", "bounced (y)", "deferred (z)"]
    assert "to=<b@b>, orig_to=<alias@b>, relay=local" in caplog.messages[1]


async def test_failures_behind_an_alias_name_whom_it_led_to() -> None:
    made = agent(Report(0, [Step.of("b@b", "5.1.1", "y"), Step.of("c@b", "5.1.2", "z")]))
    [result] = await made.agent.deliver(request("alias@b"))
    told = [(each.final, each.dsn.status, each.dsn.reason) for each in (result, *result.more)]
    assert told == [("b@b", "5.1.1", "y"), ("c@b", "5.1.2", "z")]


async def test_forwarding_adds_what_breaks_loops() -> None:
    made = agent(Report(0, [], [Forward("owner@x", "List@b", [Recipient("r@x")])]))
    [result] = await made.agent.deliver(request("list@b", content=b"Subject: x\r\n\r\nbody\r\n"))
    assert (result.status, result.dsn.reason, str(result.action)) == (Status.SENT, "forwarded as NEW", "relayed")
    [submission] = made.forwarded
    assert submission.content == b"Delivered-To: list@b\r\nSubject: x\r\n\r\nbody\r\n"
    assert submission.received.startswith(b"Received: by mail.example.com (Postfix)\r\n\tid NEW; ")
    assert submission.sender == "owner@x"


async def test_forwarding_that_is_refused_is_a_bounce() -> None:
    made = agent(
        Report(0, [], [Forward("s@x", "", [Recipient("r@x")])]),
        cleanup=Cleanup(refuse=Rejected(550, "5.4.6", "too many hops")),
    )
    [result] = await made.agent.deliver(request("list@b"))
    assert (result.status, result.dsn.status) == (Status.BOUNCED, "5.4.6")


async def test_another_transport_takes_over() -> None:
    made = agent(Report(0, [], [], [Handover("lmtp:unix:/x", "joe@b")]))
    [result] = await made.agent.deliver(request("alias@b"))
    assert (result.status, result.dsn.reason) == (Status.SENT, "elsewhere")
    [asked] = made.other.asked
    assert (asked.nexthop, asked.recipients[0].recipient.address) == ("unix:/x", "joe@b")


async def test_an_expansion_is_told_to_those_who_asked() -> None:
    made = agent(Report(0, [Step.of("a@b", "2.0.0", "x")], expanded="expanded"))
    [result] = await made.agent.deliver(request("alias@b"))
    assert (str(result.action), result.dsn.reason) == ("expanded", "alias expanded")


@pytest.mark.parametrize(
    ("error", "reason", "site"),
    [
        (FileNotFoundError("x"), "mail transport unavailable", True),
        (EOFError(), "mail transport unavailable", True),
        (KeyError("x"), "internal error: KeyError", False),
    ],
)
async def test_whoever_does_not_answer_costs_no_mail(error: Exception, reason: str, site: bool) -> None:
    [result] = await agent(error=error).agent.deliver(request("a@b"))
    assert (result.status, result.dsn.reason, result.site_failure is not None) == (Status.DEFERRED, reason, site)


# --- the process -----------------------------------------------------------------------------------------------------


@dataclass
class Process:
    """The service at work."""

    task: asyncio.Task[None]
    accounts: Path


@pytest.fixture
async def process(served: Path) -> Process:
    [task] = [task for task in asyncio.all_tasks() if task.get_name() == "the process"]
    return Process(task, served.parent / "passwd")


@pytest.fixture
async def served(place: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    """A queue directory with the sockets of a local, a broken and a pipe line."""
    spool, private = place / "mail", place / "private"
    spool.mkdir()
    private.mkdir()
    (place / "main.cf").write_text(
        f"queue_directory = {place}\nmydestination = example.com\nalias_maps = inline:{{null=/dev/null}}\n"
        f"mail_spool_directory = {spool}\ndefault_privs = nobody\nmyhostname = mail.example.com\n"
    )
    (place / "master.cf").write_text(
        "local unix - n n - - local\nbroken unix - n n - - pipe user=no.such.user argv=/bin/cat\n"
        "bad unix - n n - - local -o mailbox_size_limit=5\n"
    )
    bound = []
    for name in ("local", "broken", "bad"):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(private / name))
        listener.listen()
        listener.setblocking(False)
        bound.append(SimpleNamespace(socket=listener, tag=name, options={}))
    serve = service.prepare(MainConfig.load(place), bound)
    drain, ready = asyncio.Event(), asyncio.Event()
    before = Path.cwd()
    (place / "passwd").touch()
    monkeypatch.setattr(service, "ACCOUNTS", place / "passwd")
    task = asyncio.create_task(serve(drain, ready.set), name="the process")
    await ready.wait()
    yield private
    drain.set()
    await task
    os.chdir(before)
    for each in bound:
        each.socket.close()


async def test_the_process_delivers(served: Path) -> None:
    who = "null@example.com" if os.geteuid() == 0 else "nosuch@example.com"
    [report] = await Remote(served / "local").reports(request(who))
    expected = "delivered to file: /dev/null" if os.geteuid() == 0 else 'unknown user: "nosuch"'
    assert [step.reason for step in report.steps] == [expected]


@pytest.mark.parametrize("name", ["broken", "bad"])
async def test_a_line_that_cannot_work_keeps_its_mail(served: Path, name: str) -> None:
    [report] = await Remote(served / name).reports(request("a@example.com"))
    assert [(step.dsn, step.reason) for step in report.steps] == [("4.3.5", "mail system configuration error")]


async def test_a_new_user_database_ends_the_process_before_it_takes_more(served: Path, process: Process) -> None:
    await Remote(served / "local").reports(request("nosuch@example.com"))
    (served / "new").touch()
    (served / "new").replace(process.accounts)
    waiting = asyncio.create_task(Remote(served / "local").reports(request("nosuch@example.com")))
    await asyncio.wait_for(process.task, 10)
    assert not waiting.done()  # the next process will answer
    waiting.cancel()


async def test_rubbish_is_no_request(served: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(str(served / "local"))
    writer.write(b"\xff" * 8)
    assert await reader.read() == b""
    writer.close()
