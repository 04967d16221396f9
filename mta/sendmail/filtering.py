"""non_smtpd_milters: filters for mail that comes by sendmail(1), told of it as if it came over SMTP (cleanup(8))."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace

from mta.address import quote_821
from mta.config import MainConfig
from mta.message import Cleanup, Rejected, Submission
from mta.message.settings import receive_overrides
from mta.milter import Chain, Filters, Verdict
from mta.milter.macros import bare, site_values
from mta.milter.message import changed, edits_of
from mta.queue import NewMessage
from mta.queue.message import PROBES, trace_of

logger = logging.getLogger("postfix.cleanup")

NAME, ADDRESS = "localhost", "127.0.0.1"
"""Whom filters take for the client (MILTER_README, Non-SMTP Milter applications)."""

RCPT, END_OF_MESSAGE = "RCPT", "END-OF-MESSAGE"


@dataclass(slots=True)
class Filtering:
    """Cleanup with filters behind it."""

    cleanup: Cleanup
    filters: Filters
    values: dict[str, str]

    @classmethod
    def from_config(cls, config: MainConfig, cleanup: Cleanup) -> Filtering:
        """Raises ConfigErrors."""
        filters = Filters.from_config(config, "non_smtpd_milters")
        if "no_milters" in receive_overrides(config):
            filters = Filters.of(config, "non_smtpd_milters", ())
        return cls(cleanup, filters, site_values(config))

    async def process(self, submission: Submission) -> NewMessage | None:
        """As Cleanup.process, then the filters. Raises Rejected: 4xx leaves the mail where it is, 5xx returns it."""
        message = await self.cleanup.process(submission)
        if message is None or not self.filters or trace_of(message.attributes) & PROBES:
            return message
        macros = dict(self.values)
        chain = self.filters.chain(lambda name: macros.get(bare(name)), brackets=False)
        try:
            return await self._filter(chain, submission, message, macros)
        finally:
            await chain.close()

    async def _filter(
        self, chain: Chain, submission: Submission, message: NewMessage, macros: dict[str, str]
    ) -> NewMessage | None:
        macros |= {
            "_": f"{NAME} [{ADDRESS}]",
            "i": submission.queue_id,
            "client_addr": ADDRESS,
            "client_name": NAME,
            "client_ptr": NAME,
            "client_port": "0",
            "daemon_addr": ADDRESS,
        }
        hold = False
        for event, ask in self._events(chain, submission, message, macros):
            verdict = await ask()
            if verdict is not None and verdict.hold:
                hold = True
            elif verdict is not None:
                _refuse(submission, event, verdict)
                return None
        edits, findings = edits_of(message, submission.received, self.cleanup, _context(submission))
        verdict = await chain.content(edits)
        if verdict is not None:
            _refuse(submission, END_OF_MESSAGE, verdict)
            return None
        message = replace(message, hold=message.hold or hold)
        return await changed(message, edits, findings, self.cleanup)

    def _events(
        self, chain: Chain, submission: Submission, message: NewMessage, macros: dict[str, str]
    ) -> Iterator[tuple[str, Callable[[], Awaitable[Verdict | None]]]]:
        """What comes before the content, in order; recipients as they were named, aliases unopened."""
        yield "CONNECT", lambda: chain.connect(NAME, ADDRESS, 0)
        yield "HELO", lambda: chain.helo(NAME)
        macros["mail_addr"] = sender = quote_821(message.sender) if message.sender else ""
        yield "MAIL", lambda: chain.mail(sender, [f"BODY={message.body}"] if message.body else [])
        for recipient in submission.recipients:
            macros["rcpt_addr"] = address = quote_821(self.cleanup.rules.rewrite(recipient.address))
            yield RCPT, functools.partial(chain.rcpt, address, [])
        yield "DATA", chain.data


def _context(submission: Submission) -> str:
    to = f" to=<{submission.recipients[0].address}>" if submission.recipients else ""
    return f"{submission.queue_id} {NAME}[{ADDRESS}]; from=<{submission.sender}>{to}"


def _refuse(submission: Submission, event: str, verdict: Verdict) -> None:
    """Log what a filter decided. Raises Rejected unless the mail is to be discarded."""
    queue_id, _, about = _context(submission).partition(" ")
    client, _, envelope = about.partition(";")
    if verdict.discard:
        logger.info(
            "%s: milter-discard: %s from %s: milter triggers DISCARD action;%s", queue_id, event, client, envelope
        )
        return
    status = verdict.status or f"{verdict.code // 100}.7.1"
    logger.info("%s: milter-reject: %s from %s: %s %s;%s", queue_id, event, client, status, verdict.text, envelope)
    if event == RCPT and verdict.code >= 500:
        logger.warning("%s: milter configuration error: can't reject recipient in non-smtpd(8) submission", queue_id)
        logger.warning("%s: message not accepted, try again later", queue_id)
        raise Rejected(451, "4.3.5", "milter configuration error")
    raise Rejected(verdict.code, status, verdict.text)
