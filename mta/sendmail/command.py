"""sendmail(1), mailq(1) and newaliases(1): how programs of this host hand mail over."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import pwd
import sys
from pathlib import Path
from typing import BinaryIO, Final

from mta.address import quote_822
from mta.config import ConfigErrors, MainConfig
from mta.queue import control, layout, postqueue
from mta.queue.errors import QueueLocked
from mta.queue.message import Trace
from mta.queue.tool import Fatal, Tool, load_config, to_stderr
from mta.queue.wakeup import SCAN_INCOMING
from mta.sendmail import extract, maildrop, senders, submission
from mta.sendmail import options as modes
from mta.sendmail.extract import ExtractError
from mta.sendmail.maildrop import Drop
from mta.sendmail.options import BadOption, Options, caller
from mta.sendmail.pickup import to_crlf
from mta.sendmail.warning import authentication_warning

HELP: Final = """\
usage: sendmail [option ...] [recipient ...]
  -t  recipients from the header     -i, -oi  a lone dot does not end the message     -f sender   -F full_name
  -N notify  -R full|hdrs  -V envid  -B 8BITMIME      -C config_dir (or MAIL_CONFIG)
  -bs SMTP on standard input    -bp list the queue    -bi rebuild aliases    -q deliver the queue now
  -bv do recipients exist? Nothing is delivered, a report is mailed      -v  mail a report of the first attempt
example: printf 'Subject: hello\\n\\nhello\\n' | sendmail -t -i user@example.com"""
SENDMAIL: Final = Tool("sendmail", "sendmail [options]", HELP, os.EX_TEMPFAIL)
MAILQ: Final = Tool("mailq", "mailq [options]", HELP, os.EX_TEMPFAIL)
NEWALIASES: Final = Tool("newaliases", "newaliases [options]", HELP, os.EX_TEMPFAIL)

STATUS_REPORT: Final = "Mail Delivery Status Report will be mailed to <{}>."

CHUNK: Final = 64 * 1024


def main(argv: list[str]) -> int:
    """Run with the arguments behind the program's name; returns the exit status (sysexits.h)."""
    return SENDMAIL.run(argv, lambda words: _run(SENDMAIL, words))


def mailq(argv: list[str]) -> int:
    """mailq: sendmail -bp."""
    return MAILQ.run(["-bp", *argv], lambda words: _run(MAILQ, words))


def newaliases(argv: list[str]) -> int:
    """newaliases: sendmail -bi."""
    return NEWALIASES.run(["-bi", *argv], lambda words: _run(NEWALIASES, words))


def _run(tool: Tool, words: list[str]) -> int:
    try:
        options = modes.parse(words)
    except BadOption as error:
        print(f"{tool.name}: {error}", file=sys.stderr)
        raise tool.misused() from None
    return run(options, sys.stdin.buffer)


def run(options: Options, source: BinaryIO) -> int:
    """Do what the options ask for. Raises Fatal, QueueError."""
    config = load_config(options.confdir)
    match options.mode:
        case modes.LIST:
            return postqueue.show(config)
        case modes.ALIASES:
            return _aliases(config, options.aliases)
        case modes.SMTP:
            return _smtp(config)
        case modes.FLUSH:
            return _flush(config, options)
        case modes.DAEMON:
            raise Fatal("daemon mode: start the mail system with `hardmail run -c CONFDIR`")
        case modes.VERIFY:
            return verify(config, options)
        case _:
            return enqueue(config, options, source)


# --- handing over --------------------------------------------------------------------------------------------------


def enqueue(config: MainConfig, options: Options, source: BinaryIO) -> int:
    """Take a message from standard input and keep it. Raises Fatal."""
    _may_submit(config)
    limit = config.int("message_size_limit")
    content = to_crlf(_without_from_lines(_read(source, options.dot_ends, limit)))
    recipients = _recipients(options, content)
    sender = _login()
    if options.sender is not None:
        login, sender = sender, extract.sender(options.sender)
        content = authentication_warning(config, login, sender) + content
    drop = Drop(
        sender=sender,
        recipients=tuple(recipients),
        content=content,
        fullname=options.fullname or os.environ.get("NAME", "") or _full_name(os.getuid()),
        notify=int(options.notify),
        ret=options.ret,
        envid=options.envid,
        body=options.body,
        smtputf8=options.smtputf8 or not all(recipient.isascii() for recipient in recipients),
        trace=int(Trace.RECORD) if options.verbose else 0,
        attributes={"uid": str(os.getuid())},
    )
    if _keep(config, drop) and drop.trace:
        print(STATUS_REPORT.format(drop.sender))
    return os.EX_OK


def verify(config: MainConfig, options: Options) -> int:
    """Have the sender told whether the recipients exist; nothing is delivered. Raises Fatal."""
    _may_submit(config)
    recipients = _recipients(options, b"")
    sender = _login() if options.sender is None else extract.sender(options.sender)
    header = f"From: {quote_822(sender) if sender else 'MAILER-DAEMON'}\r\nSubject: probe\r\n"
    header += "To:" + ",".join(f"\r\n\t{quote_822(recipient)}" for recipient in recipients) + "\r\n\r\n"
    drop = Drop(
        sender=sender,
        recipients=tuple(recipients),
        content=header.encode("utf-8", "surrogateescape"),
        smtputf8=not all(recipient.isascii() for recipient in recipients),
        trace=int(Trace.USER_VERIFY),
        attributes={"uid": str(os.getuid())},
    )
    _keep(config, drop)
    print(STATUS_REPORT.format(sender))
    return os.EX_OK


def _recipients(options: Options, content: bytes) -> list[str]:
    """Those of the command line, and with -t those of the header. Raises Fatal."""
    try:
        recipients = extract.arguments(options.recipients)
        if options.from_header:
            recipients += extract.recipients(content)
    except ExtractError as error:
        raise Fatal(f"unable to extract recipients: {error}") from error
    if not recipients:
        raise Fatal(f"{caller()}: No recipient addresses found in message header")
    if any(control_char in recipient for recipient in recipients for control_char in "\0\r\n"):
        raise Fatal("a recipient address holds a control character")
    return recipients


def _keep(config: MainConfig, drop: Drop) -> bool:
    """Into the maildrop, or, where this user may not write there, to the daemon: then nobody reports (False)."""
    if config.str("local_login_sender_maps") != senders.EVERYBODY:
        asyncio.run(senders.check(config, drop.sender, os.getuid()))
    directory = Path(config.str("queue_directory"))
    try:
        if not (directory / layout.MAILDROP).is_dir():
            layout.prepare(directory)
        maildrop.write(directory, drop)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM) and not drop.trace & Trace.USER_VERIFY:
            submission.submit(config, drop)
            return False
        raise Fatal(f"queue file write error: {error}") from error
    # The mail is safe; a daemon that does not run will find it when it does.
    control.send(directory, SCAN_INCOMING)
    return True


def _read(source: BinaryIO, dot_ends: bool, limit: int) -> bytes:
    """Standard input up to its end, or to a line with only a dot."""
    if not dot_ends:
        content = _read_all(source, limit)
    else:
        lines: list[bytes] = []
        size = 0
        for line in iter(lambda: source.readline(CHUNK), b""):
            if line in (b".\n", b".\r\n") and (not lines or lines[-1].endswith(b"\n")):
                break
            lines.append(line)
            size += len(line)
            _check_size(size, limit)
        content = b"".join(lines)
    return content


def _read_all(source: BinaryIO, limit: int) -> bytes:
    parts, size = [], 0
    while part := source.read(CHUNK):
        parts.append(part)
        size += len(part)
        _check_size(size, limit)
    return b"".join(parts)


def _check_size(size: int, limit: int) -> None:
    if limit and size > limit:
        raise Fatal(f"message file too big: message_size_limit is {limit}")


def _without_from_lines(content: bytes) -> bytes:
    """mbox separators at the top (`From user date`), also quoted ones, are not part of the message."""
    while content.lstrip(b">").startswith(b"From ") and content.lstrip(b">")[:5] == b"From ":
        _, newline, content = content.partition(b"\n")
        if not newline:
            break
    return content


def _login() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        raise Fatal(f"no login name found for user ID {os.getuid()}") from None


def _full_name(uid: int) -> str:
    """The user's name from the password file, `&` being the login name (sendmail(1) -F)."""
    try:
        entry = pwd.getpwuid(uid)
    except (KeyError, OverflowError):
        return ""
    return entry.pw_gecos.split(",")[0].replace("&", entry.pw_name.capitalize())


def _may_submit(config: MainConfig) -> None:
    """authorized_submit_users: names, `static:anyone`, `!name` before what it excludes from."""
    allowed = config.list("authorized_submit_users")
    name = caller().partition("(")[0]
    for entry in allowed:
        bare = entry.lstrip("!")
        if bare == name or bare.startswith("static:"):
            if entry.startswith("!"):
                break
            return
    raise Fatal(f"User {caller()} is not allowed to submit mail")


# --- other modes ---------------------------------------------------------------------------------------------------


def _aliases(config: MainConfig, given: str) -> int:
    """Text alias files are read as they are: there is no database to build, only a check that they can be read."""
    for entry in [given] if given else config.list("alias_database"):
        kind, colon, path = entry.partition(":")
        file = Path(path if colon else kind)
        if not os.access(file, os.R_OK):
            raise Fatal(f"open {file}: No such file or directory, or no permission", 1)
    return os.EX_OK


def _flush(config: MainConfig, options: Options) -> int:
    directory = Path(config.str("queue_directory"))
    if options.retry_id:
        return postqueue.main(["-c", str(config.confdir), "-i", options.retry_id])
    if options.site:
        return postqueue.main(["-c", str(config.confdir), "-s", options.site])
    try:
        return asyncio.run(_run_queue(config))
    except QueueLocked:
        # A daemon has the queue: it does the work.
        postqueue.flush(directory)
        return os.EX_OK
    except ConfigErrors as error:
        raise Fatal(str(error)) from error


async def _run_queue(config: MainConfig) -> int:
    """One queue run in the foreground, for systems where no daemon runs. Raises QueueLocked if one does."""
    from mta.queue.service import Service, lock, make_plan  # the whole mail system: not for a mere drop

    directory = Path(config.str("queue_directory"))
    if not directory.is_dir():
        layout.prepare(directory)
    fd = await lock(directory, patience=0.0)
    try:
        to_stderr("sendmail", logging.INFO if sys.stderr.isatty() else logging.WARNING)
        plan = make_plan(config)
        _become_owner(directory)
        service = Service(plan)
        service.manager.flush()
        await service.run(asyncio.Event(), lambda: None, until_idle=True)
    finally:
        os.close(fd)
    return os.EX_OK


def _become_owner(directory: Path) -> None:
    """What talks to the network does not do it as root: the queue's owner is who would do it in a daemon."""
    owner = directory.stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        return
    import encodings.idna  # noqa: F401  late imports may not be possible any more

    os.setgroups([])
    os.setgid(owner.st_gid)
    os.setuid(owner.st_uid)


def _smtp(config: MainConfig) -> int:
    from mta.sendmail.standalone import serve_stdin  # pulls in the SMTP server

    try:
        return asyncio.run(serve_stdin(config))
    except ConfigErrors as error:
        raise Fatal(str(error)) from error
