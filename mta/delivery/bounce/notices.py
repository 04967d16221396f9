"""Which notifications a message needs, and to whom: sender, postmaster or nobody (bounce(8), notify_classes)."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mta.delivery.bounce import templates
from mta.delivery.bounce.report import Entry, Report, ReportSettings, render
from mta.delivery.bounce.templates import Kind, Template
from mta.message import Rejected, Submission
from mta.message.received import local_received_header, mail_date
from mta.queue.message import NewMessage, Notify, QueuedMessage, Recipient

if TYPE_CHECKING:
    from mta.config import MainConfig

logger = logging.getLogger("postfix.bounce")


class NoticeError(Exception):
    """A notification could not be made; what it is about must stay in the queue."""


@dataclass(frozen=True, slots=True)
class NoticeSettings:
    """Parameters of main.cf."""

    report: ReportSettings
    double_bounce: str
    """Full address of double_bounce_sender: the sender of postmaster notices."""
    origin: str = "localhost"
    """Domain of addresses without one (myorigin)."""
    classes: frozenset[str] = frozenset()
    """notify_classes"""
    bounce_recipient: str = "postmaster"
    second_bounce_recipient: str = "postmaster"
    delay_recipient: str = "postmaster"
    texts: Mapping[Kind, Sequence[str]] = field(default_factory=dict)
    """Template texts with every `$name` expanded."""
    templates: Mapping[Kind, Template] = field(default_factory=lambda: templates.BUILT_IN)

    @classmethod
    def from_config(cls, config: MainConfig) -> NoticeSettings:
        file = config.str("bounce_template_file")
        known = templates.load(Path(file) if file else None)
        texts = {
            kind: tuple(config.expand(templates.expand_times(line, config.seconds)) for line in template.text)
            for kind, template in known.items()
        }
        return cls(
            report=ReportSettings(
                myhostname=config.str("myhostname"),
                mail_name=config.str("mail_name"),
                maximal_queue_lifetime=config.seconds("maximal_queue_lifetime"),
                bounce_size_limit=config.int("bounce_size_limit"),
                threaded=config.bool("enable_threaded_bounces"),
                mime_encoding="8bit" if config.bool("smtputf8_enable") else "7bit",
            ),
            double_bounce=f"{config.str('double_bounce_sender')}@{config.str('myhostname')}",
            origin=config.str("myorigin"),
            classes=frozenset(word.lower() for word in config.list("notify_classes")),
            bounce_recipient=config.str("bounce_notice_recipient"),
            second_bounce_recipient=config.str("2bounce_notice_recipient"),
            delay_recipient=config.str("delay_notice_recipient"),
            texts=texts,
            templates=known,
        )


class Notices:
    """Makes notifications. `cleanup` turns a submission into a queueable message, without content checks or copies."""

    def __init__(
        self,
        settings: NoticeSettings,
        cleanup: Callable[[Submission], Awaitable[NewMessage | None]],
        new_id: Callable[[], str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._cleanup = cleanup
        self._new_id = new_id
        self._clock = clock

    async def failure(
        self, message: QueuedMessage, entries: Sequence[Entry], content: bytes | None
    ) -> list[NewMessage]:
        """For recipients that will not be tried again. Raises NoticeError."""
        settings = self._settings
        if message.sender.casefold() == settings.double_bounce.casefold():
            logger.warning("%s: undeliverable postmaster notification discarded", message.queue_id)
            return []
        notices: list[NewMessage] = []
        if not message.sender:
            if settings.classes & {"bounce", "2bounce"}:
                to = settings.second_bounce_recipient
                notices.append(await self._postmaster(Kind.FAILURE, message, entries, content, to, headers_only=False))
            return notices
        wanted = [entry for entry in entries if entry.recipient.notify.wants(Notify.FAILURE)]
        if wanted:
            notices.append(await self._sender(Kind.FAILURE, message, wanted, content, message.ret == "HDRS"))
        if "bounce" in settings.classes:
            to = settings.bounce_recipient
            notices.append(await self._postmaster(Kind.FAILURE, message, entries, content, to, headers_only=True))
        return notices

    async def delay(self, message: QueuedMessage, entries: Sequence[Entry], content: bytes | None) -> list[NewMessage]:
        """For recipients that wait for long (delay_warning_time). Raises NoticeError."""
        settings = self._settings
        notices: list[NewMessage] = []
        if message.sender.casefold() == settings.double_bounce.casefold():
            return notices
        wanted = [entry for entry in entries if entry.recipient.notify.wants(Notify.DELAY)]
        if message.sender and wanted:
            notices.append(await self._sender(Kind.DELAY, message, wanted, content, headers_only=True))
        if "delay" in settings.classes:
            to = settings.delay_recipient
            notices.append(await self._postmaster(Kind.DELAY, message, entries, content, to, headers_only=True))
        return notices

    async def success(
        self, message: QueuedMessage, entries: Sequence[Entry], content: bytes | None, *, delay_cleared: bool = False
    ) -> list[NewMessage]:
        """For recipients whose sender asked for it (NOTIFY=SUCCESS), or was warned of a delay. Raises NoticeError."""
        if not message.sender or message.sender.casefold() == self._settings.double_bounce.casefold():
            return []

        def wants(notify: Notify) -> bool:
            return bool(notify & Notify.SUCCESS) or (delay_cleared and notify.wants(Notify.DELAY))

        wanted = [entry for entry in entries if wants(entry.recipient.notify)]
        if not wanted:
            return []
        return [await self._sender(Kind.SUCCESS, message, wanted, content, headers_only=True)]

    async def verification(
        self, message: QueuedMessage, entries: Sequence[Entry], content: bytes | None
    ) -> list[NewMessage]:
        """For whoever asked with sendmail -bv, or -v. Raises NoticeError."""
        if not message.sender:
            return []
        return [await self._sender(Kind.VERIFY, message, entries, content, headers_only=True)]

    async def _sender(
        self, kind: Kind, message: QueuedMessage, entries: Sequence[Entry], content: bytes | None, headers_only: bool
    ) -> NewMessage:
        text = self._settings.texts.get(kind, ())
        notice = await self._make(kind, text, message, entries, content, "", message.sender, headers_only, copy=False)
        word = {Kind.FAILURE: "non-delivery", Kind.DELAY: "delay"}.get(kind, "delivery status")
        logger.info("%s: sender %s notification: %s", message.queue_id, word, notice.queue_id)
        return notice

    async def _postmaster(
        self,
        kind: Kind,
        message: QueuedMessage,
        entries: Sequence[Entry],
        content: bytes | None,
        to: str,
        *,
        headers_only: bool,
    ) -> NewMessage:
        sender = self._settings.double_bounce
        notice = await self._make(kind, (), message, entries, content, sender, to, headers_only, copy=True)
        word = "delay" if kind is Kind.DELAY else "non-delivery"
        logger.info("%s: postmaster %s notification: %s", message.queue_id, word, notice.queue_id)
        return notice

    async def _make(
        self,
        kind: Kind,
        text: Sequence[str],
        message: QueuedMessage,
        entries: Sequence[Entry],
        content: bytes | None,
        sender: str,
        to: str,
        headers_only: bool,
        *,
        copy: bool,
    ) -> NewMessage:
        settings, now = self._settings, self._clock()
        complete = to if "@" in to else f"{to}@{settings.origin}"
        address_type = "utf-8" if message.smtputf8 and not complete.isascii() else "rfc822"
        queue_id = self._new_id()
        report = Report(
            kind=kind,
            template=settings.templates[kind],
            text=text,
            to=to,
            postmaster_copy=copy,
            message=message,
            entries=entries,
            headers_only=headers_only,
            boundary=f"{message.queue_id}.{int(now)}/{settings.report.myhostname}",
            date=mail_date(message.arrival),
            retry_until=mail_date(message.arrival + settings.report.maximal_queue_lifetime),
        )
        submission = Submission(
            queue_id=queue_id,
            sender=sender,
            recipients=[Recipient(to, to, f"{address_type};{complete}")],
            content=render(report, settings.report, content),
            received=local_received_header(settings.report.myhostname, settings.report.mail_name, queue_id, None, now),
            body="8BITMIME" if settings.report.mime_encoding == "8bit" else "",
            smtputf8=message.smtputf8,
        )
        try:
            notice = await self._cleanup(submission)
        except Rejected as error:
            raise NoticeError(str(error)) from error
        if notice is None:
            raise NoticeError("the notification was discarded")
        return notice
