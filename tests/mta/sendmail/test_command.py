"""sendmail and its kin as programs: exit codes, and what lies in the queue afterwards."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mta.queue import NewMessage, Queue, Recipient, layout, postcat, postqueue, postsuper, qshape
from mta.queue.tool import Fatal
from mta.sendmail import command, maildrop
from mta.sendmail import options as modes
from mta.sendmail.maildrop import Drop


@pytest.fixture
def sendmail(confdir) -> Callable[..., int]:
    directory = confdir()

    def run(*argv: str, stdin: bytes = b"Subject: x\n\nbody\n") -> int:
        return command.run(modes.parse(["-C", str(directory), *argv]), io.BytesIO(stdin))

    return run


@pytest.fixture
def drops(tmp_path: Path) -> Callable[[], list[Drop]]:
    return lambda: [maildrop.read(path).drop for path in maildrop.waiting(tmp_path / "spool")]


def test_a_mail_is_dropped_without_a_daemon(sendmail, drops) -> None:
    assert sendmail("-f", "alice@example.org", "bob@example.net,carol@example.net") == os.EX_OK
    [drop] = drops()
    assert drop.sender == "alice@example.org"
    assert drop.recipients == ("bob@example.net", "carol@example.net")
    assert drop.content == b"Subject: x\r\n\r\nbody\r\n"


def test_recipients_of_header_and_command_line(sendmail, drops) -> None:
    sendmail("-t", "-i", "dave@x", stdin=b"To: a@x\nBcc: b@y\n\nbody\n")
    assert drops()[0].recipients == ("dave@x", "a@x", "b@y")


@pytest.mark.parametrize(
    ("options", "stdin", "content"),
    [
        ([], b"Subject: x\n\na\n.\nb\n", b"Subject: x\r\n\r\na\r\n"),
        (["-i"], b"Subject: x\n\na\n.\nb\n", b"Subject: x\r\n\r\na\r\n.\r\nb\r\n"),
        ([], b"Subject: x\n\nno newline at the end", b"Subject: x\r\n\r\nno newline at the end\r\n"),
        ([], b"Subject: x\n\nhalf a line.", b"Subject: x\r\n\r\nhalf a line.\r\n"),
        ([], b"From root Thu Jan  1 00:00:00 1970\n>From me\nSubject: x\n\na\n", b"Subject: x\r\n\r\na\r\n"),
        ([], b"Subject: x\r\n\r\ndos\r\n.\r\nrest\r\n", b"Subject: x\r\n\r\ndos\r\n"),
    ],
)
def test_where_the_message_ends(sendmail, drops, options, stdin, content) -> None:
    sendmail(*options, "bob@x", stdin=stdin)
    assert drops()[0].content == content


def test_envelope_options(sendmail, drops) -> None:
    sendmail("-F", "Alice A.", "-N", "success", "-R", "hdrs", "-V", "id", "-f", "<>", "bob@x")
    [drop] = drops()
    assert (drop.sender, drop.fullname, drop.notify, drop.ret, drop.envid) == ("", "Alice A.", 2, "HDRS", "id")


# The superuser may run the tests: nobody is trusted.
WARNING = {"hardmail_authentication_warnings": "yes", "hardmail_trusted_users": "", "myorigin": "null.example.org"}


@pytest.mark.parametrize(
    ("settings", "argv", "warning"),
    [
        ({}, ["-f", "boss@x.example"], b""),
        (WARNING, ["-f", "boss@x.example"], b"null.example.org: %b set sender to boss@x.example using -f"),
        (WARNING, ["-f", "<>"], b"null.example.org: %b set sender to <> using -f"),
        (WARNING, ["-f", "b\u00fcro@x.example"], b"null.example.org: %b set sender to b?ro@x.example using -f"),
        (WARNING, ["-f", "a" * 100 + "@x"], b"null.example.org: %b set sender to " + b"a" * 64 + b" using -f"),
        (WARNING, ["-f", "{login}"], b""),
        (WARNING, ["-f", "{login}@null.example.org"], b""),
        (WARNING, [], b""),
        (WARNING | {"hardmail_trusted_users": "news, {login}"}, ["-f", "boss@x.example"], b""),
    ],
)
def test_a_sender_that_is_not_the_callers_own_is_noted(confdir, drops, settings, argv, warning) -> None:
    import pwd

    login = pwd.getpwuid(os.getuid()).pw_name
    directory = confdir(**{name: value.format(login=login) for name, value in settings.items()})
    argv = [word.format(login=login) for word in argv]
    content = b"Subject: x\n\nbody\n"
    status = command.run(modes.parse(["-C", str(directory), *argv, "bob@x"]), io.BytesIO(content))
    assert status == os.EX_OK
    header = b"X-Authentication-Warning: " + warning % login.encode() + b"\r\n" if warning else b""
    assert drops()[0].content == header + content.replace(b"\n", b"\r\n")


def test_the_caller_is_the_sender(sendmail, drops) -> None:
    import pwd

    sendmail("bob@x")
    assert drops()[0].sender == pwd.getpwuid(os.getuid()).pw_name


def test_the_callers_name_comes_from_the_password_file(sendmail, drops, monkeypatch) -> None:
    import pwd

    entry = pwd.struct_passwd(("ann", "x", os.getuid(), 0, "& Example,Room 1,555", "/", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: entry)
    sendmail("bob@x")
    monkeypatch.setenv("NAME", "Somebody Else")
    sendmail("bob@x")
    assert {drop.fullname for drop in drops()} == {"Ann Example", "Somebody Else"}


@pytest.mark.parametrize(
    ("settings", "argv", "stdin", "status", "error"),
    [
        ({}, ["-t"], b"Subject: nobody\n\n", os.EX_TEMPFAIL, "No recipient addresses found in message header"),
        ({"message_size_limit": "1000"}, ["bob@x"], b"x" * 2000, os.EX_TEMPFAIL, "message file too big"),
        ({"authorized_submit_users": "nobody-here"}, ["bob@x"], b"", os.EX_TEMPFAIL, "is not allowed to submit mail"),
        ({"queue_directory": "/proc/nowhere"}, ["bob@x"], b"", os.EX_TEMPFAIL, "/proc/nowhere"),
        ({}, ["-bd"], b"", os.EX_TEMPFAIL, "daemon mode"),
        (
            {},
            ["-X"],
            b"",
            os.EX_TEMPFAIL,
            "option requires an argument -- 'X'\nsendmail: fatal: usage: sendmail [options]",
        ),
        ({}, ["-Z"], b"", os.EX_TEMPFAIL, "invalid option -- 'Z'\nsendmail: fatal: usage: sendmail [options]"),
        ({}, [], b"", os.EX_TEMPFAIL, f"({os.getuid()}): Recipient addresses must be specified on the command line"),
        ({}, ["-q", "x"], b"", os.EX_TEMPFAIL, "flush queue mode requires no recipient"),
        ({"alias_database": "hash:/nowhere/aliases"}, ["-bi"], b"", 1, "open /nowhere/aliases"),
    ],
)
def test_exit_codes_are_postfix_s(confdir, monkeypatch, capsys, settings, argv, stdin, status, error) -> None:
    """Its sendmail(1) ends with EX_TEMPFAIL, whatever is wrong."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
    assert command.main(["-C", str(confdir(**settings)), *argv]) == status
    assert error in capsys.readouterr().err


def test_the_tools_misused_say_so_in_postfix_s_words(capsys) -> None:
    for tool, name, argv, status, errors in (
        (
            postqueue.main,
            "postqueue",
            ["-Z"],
            69,
            ["invalid option -- 'Z'", "fatal: usage: postqueue -f | postqueue -i"],
        ),
        (postqueue.main, "postqueue", ["-pf"], 69, ["fatal: usage: postqueue -f | postqueue -i queueid"]),
        (postqueue.main, "postqueue", ["-s"], 69, ["option requires an argument -- 's'", "fatal: usage: postqueue -f"]),
        (postsuper.main, "postsuper", ["-Z"], 1, ["invalid option -- 'Z'", "fatal: usage: postsuper [-c config_dir]"]),
        (postcat.main, "postcat", ["-Z"], 1, ["invalid option -- 'Z'", "fatal: usage: postcat [-b (body text)]"]),
        (qshape.main, "qshape", ["-Z"], 255, ["invalid option -- 'Z'", "fatal: usage: qshape [ -s ]"]),
        (command.mailq, "mailq", ["-C"], 75, ["option requires an argument -- 'C'", "fatal: usage: mailq [options]"]),
        (command.newaliases, "newaliases", ["x"], 75, ["fatal: alias initialization mode requires no recipient"]),
    ):
        assert tool(argv) == status
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == len(errors)
        for line, error in zip(lines, errors, strict=True):
            assert line.startswith(f"{name}: {error}")


def test_no_file_is_a_queue_file(tmp_path, capsys) -> None:
    path = tmp_path / "file"
    path.write_text("x")
    assert postcat.main([str(path)]) == os.EX_OK
    assert capsys.readouterr().err == f"postcat: warning: {path}: input is not a valid queue file\n"
    assert postcat.main([str(tmp_path / "none")]) == 1


def test_an_unreadable_configuration(tmp_path, capsys) -> None:
    assert command.main(["-C", str(tmp_path / "none"), "bob@x"]) == os.EX_TEMPFAIL
    assert capsys.readouterr().err == f"sendmail: fatal: open {tmp_path}/none/main.cf: No such file or directory\n"


def test_mail_config_names_the_configuration(confdir, drops, monkeypatch) -> None:
    monkeypatch.setenv("MAIL_CONFIG", str(confdir()))
    command.run(modes.parse(["bob@x"]), io.BytesIO(b"Subject: x\n\n"))
    assert len(drops()) == 1


# --- a run without a daemon ----------------------------------------------------------------------------------------


@pytest.fixture
def sink() -> Iterator[tuple[int, Path]]:
    """smtp-sink would do; this one needs no other program."""
    script = (
        "import socketserver,sys\n"
        "class H(socketserver.StreamRequestHandler):\n"
        "    def handle(self):\n"
        "        w=self.wfile.write; w(b'220 sink\\r\\n'); data=False\n"
        "        for line in self.rfile:\n"
        "            if data:\n"
        "                if line==b'.\\r\\n': data=False; w(b'250 2.0.0 Ok\\r\\n'); print('mail',flush=True)\n"
        "            elif line.upper().startswith(b'DATA'): data=True; w(b'354 go\\r\\n')\n"
        "            elif line.upper().startswith(b'QUIT'): w(b'221 bye\\r\\n'); return\n"
        "            else: w(b'250 Ok\\r\\n'); print(line.decode().strip(),flush=True)\n"
        "s=socketserver.ThreadingTCPServer(('127.0.0.1',0),H); s.daemon_threads=True\n"
        "print(s.server_address[1],flush=True); s.serve_forever()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline()), process.stdout  # type: ignore[misc]
        process.kill()


def test_the_queue_is_delivered_in_the_foreground(confdir, drops, sink) -> None:
    port, output = sink
    directory = confdir(relayhost=f"[127.0.0.1]:{port}")
    for number in range(3):
        options = modes.parse(["-C", str(directory), "-f", f"a{number}@x.example", "bob@y.example"])
        command.run(options, io.BytesIO(b"Subject: x\n\nhi\n"))
    assert command.main(["-C", str(directory), "-q"]) == os.EX_OK
    assert drops() == []
    with Queue.open(directory.parent / "spool") as queue:
        assert list(queue.messages()) == []
    lines = []
    while lines.count("mail") < 3:
        lines.append(output.readline().strip())
    senders = {line for line in lines if line.startswith("MAIL")}
    assert senders == {f"MAIL FROM:<a{number}@x.example>" for number in range(3)}


def test_a_run_that_cannot_deliver_keeps_the_mail(confdir, unused_port) -> None:
    directory = confdir(relayhost=f"[127.0.0.1]:{unused_port}")
    command.run(modes.parse(["-C", str(directory), "bob@y.example"]), io.BytesIO(b"Subject: x\n\nhi\n"))
    for _ in range(2):
        assert command.main(["-C", str(directory), "-q"]) == os.EX_OK
    with Queue.open(directory.parent / "spool") as queue:
        [message] = queue.messages()
    assert message.recipients[0].reason.endswith("Connection refused")
    assert message.attempts == 2


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- the queue's own tools -----------------------------------------------------------------------------------------


@pytest.fixture
def filled(confdir, tmp_path) -> tuple[str, list[str]]:
    """Three messages: incoming, incoming, held."""
    directory = confdir()
    with Queue.open(tmp_path / "spool") as queue:
        content = b"From: a@x\r\nSubject: hello\r\n\r\nbody\r\n"
        ids = [
            queue.put_blocking(NewMessage("alice@example.org", [Recipient("bob@example.net")], content)),
            queue.put_blocking(NewMessage("", [Recipient("carol@example.net"), Recipient("dave@x")], content)),
            queue.put_blocking(NewMessage("alice@example.org", [Recipient("eve@x")], content, hold=True)),
        ]
    return str(directory), ids


def test_mailq(filled, capsys) -> None:
    directory, ids = filled
    assert command.mailq(["-C", directory]) == os.EX_OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------"
    assert lines[1].startswith(f"{ids[0]:<11} ") and lines[1].endswith(" alice@example.org")
    assert lines[2].split() == ["bob@example.net"]
    assert lines[4].endswith(" MAILER-DAEMON")
    assert any(line.startswith(f"{ids[2]}! ") for line in lines)
    assert lines[-1] == "-- 0 Kbytes in 3 Requests."


def test_mailq_of_an_empty_queue(confdir, tmp_path, capsys) -> None:
    directory = confdir()
    layout.prepare(tmp_path / "spool")
    command.mailq(["-C", str(directory)])
    assert capsys.readouterr().out == "Mail queue is empty\n"


def test_postqueue_json(filled, capsys) -> None:
    directory, ids = filled
    postqueue.main(["-c", directory, "-j"])
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(entry["queue_id"], entry["queue_name"]) for entry in listed] == list(
        zip(ids, ["incoming", "incoming", "hold"], strict=True)
    )
    assert listed[1]["sender"] == "MAILER-DAEMON"
    assert listed[1]["recipients"] == [{"address": "carol@example.net"}, {"address": "dave@x"}]


def test_postqueue_flushes_only_sites_that_it_keeps_track_of(filled, capsys) -> None:
    directory, _ = filled
    with (Path(directory) / "main.cf").open("a") as file:
        file.write("fast_flush_domains = tracked.example\n")
    assert postqueue.main(["-c", directory, "-s", "other.example"]) == os.EX_UNAVAILABLE
    assert 'Flush service is not configured for destination "other.example"' in capsys.readouterr().err
    assert postqueue.main(["-c", directory, "-s", "tracked.example"]) == os.EX_UNAVAILABLE
    assert "Cannot flush mail queue - mail system is down" in capsys.readouterr().err


def test_postqueue_flush_without_a_daemon_says_so(filled, capsys) -> None:
    directory, _ = filled
    assert postqueue.main(["-c", directory, "-f"]) == os.EX_UNAVAILABLE
    assert "Mail system is down" in capsys.readouterr().err


def test_postsuper(filled, tmp_path, capsys, monkeypatch) -> None:
    directory, ids = filled
    monkeypatch.setattr("sys.stdin", io.StringIO(""))

    def names() -> list[str]:
        with Queue.open(tmp_path / "spool") as queue:
            return [str(message.queue) for message in queue.messages()]

    assert postsuper.main(["-c", directory, "-h", ids[0]]) == os.EX_OK
    assert names() == ["hold", "incoming", "hold"]
    assert f"postsuper: {ids[0]}: placed on hold\npostsuper: Placed on hold: 1 message\n" in capsys.readouterr().err
    postsuper.main(["-c", directory, "-H", "ALL"])
    assert names() == ["deferred", "incoming", "deferred"]
    postsuper.main(["-c", directory, "-d", "ALL", "deferred"])
    assert names() == ["incoming"]
    postsuper.main(["-c", directory, "-r", ids[1]])
    assert names() == ["deferred"]
    capsys.readouterr()
    assert postsuper.main(["-c", directory, "-d", "../../etc/passwd", "-h", "-", "-d", "DEADBEEF1"]) == os.EX_OK
    assert capsys.readouterr().err.splitlines() == [
        "postsuper: warning: invalid mail queue id: ../../etc/passwd",
        "postsuper: Deleted: 0 messages",
        "postsuper: Placed on hold: 0 messages",
    ]
    assert postsuper.main(["-c", directory, "-d", "ALL", "nowhere"]) == 1
    postsuper.main(["-c", directory, "-d", ids[1]])
    assert names() == []


def test_postsuper_reads_ids_from_standard_input(filled, tmp_path, monkeypatch) -> None:
    directory, ids = filled
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{ids[0]}\n{ids[2]} and more\n\n"))
    postsuper.main(["-c", directory, "-d", "-"])
    with Queue.open(tmp_path / "spool") as queue:
        assert [message.queue_id for message in queue.messages()] == [ids[1]]


def test_postcat(filled, capfdbinary) -> None:
    directory, ids = filled
    assert postcat.main(["-c", directory, "-q", ids[0]]) == os.EX_OK
    out = capfdbinary.readouterr().out
    assert b"sender: alice@example.org\n" in out
    assert b"recipient: bob@example.net\n" in out
    assert b"Subject: hello\n\nbody\n" in out
    postcat.main(["-c", directory, "-h", "-q", ids[0]])
    assert capfdbinary.readouterr().out == b"From: a@x\nSubject: hello\n"
    assert postcat.main(["-c", directory, "-q", "DEADBEEF1"]) == 1


@pytest.mark.parametrize("tool", [command.main, postqueue.main, postsuper.main, postcat.main])
def test_help_has_an_example(tool, capsys) -> None:
    assert tool(["--help"]) == os.EX_OK
    assert "example:" in capsys.readouterr().out


def test_smtp_on_standard_input(confdir, tmp_path) -> None:
    directory = confdir()
    layout.prepare(tmp_path / "spool")
    dialogue = (
        "EHLO me\r\nMAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n"
        "Subject: bs\r\n\r\nhello\r\n.\r\nQUIT\r\n"
    )
    program = "import sys; from mta.sendmail.command import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", program, "-C", str(directory), "-bs"],
        input=dialogue.encode(),
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == os.EX_OK, done.stderr
    codes = [line[:3] for line in done.stdout.splitlines() if line[3:4] == b" "]
    assert codes == [b"220", b"250", b"250", b"250", b"354", b"250", b"221"]
    with Queue.open(tmp_path / "spool") as queue:
        [message] = queue.messages()
        assert b"hello" in queue.content(message)


# --- users who may not write into the maildrop ---------------------------------------------------------------------


class Refusing:
    """A maildrop that belongs to someone else."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def denied(*args: object) -> Path:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(maildrop, "write", denied)


def test_a_stranger_hands_over_by_smtp(confdir, sink, monkeypatch) -> None:
    port, output = sink
    directory = confdir()
    with (directory / "master.cf").open("a") as master:
        master.write(f"127.0.0.1:1 inet n - n - - smtpd\n127.0.0.1:{port} inet n - n - - smtpd\n")
    Refusing(monkeypatch)
    options = modes.parse(["-C", str(directory), "-f", "a@x.example", "bob@y.example", '"two words"@y.example'])
    assert command.run(options, io.BytesIO(b"Subject: x\n\n.dot\n")) == os.EX_OK
    lines = [output.readline().strip() for _ in range(5)]
    assert lines[1:] == [
        "mail FROM:<a@x.example>",
        "rcpt TO:<bob@y.example>",
        'rcpt TO:<"two words"@y.example>',
        "mail",
    ]


def test_a_stranger_without_a_daemon_is_told_to_try_again(confdir, monkeypatch) -> None:
    directory = confdir()
    Refusing(monkeypatch)
    with pytest.raises(Fatal) as caught:
        command.run(modes.parse(["-C", str(directory), "bob@x"]), io.BytesIO(b"Subject: x\n\n"))
    assert caught.value.status == os.EX_TEMPFAIL
