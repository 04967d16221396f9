"""From accepted content to a queued message: what Postfix's cleanup(8) does. Pure but for table lookups.

cleanup = Cleanup.from_config(config, tables...)          # one for each process
outcome = await cleanup.process(Submission(...))          # headers, rewriting, expansion, checks
outcome.message   -> mta.queue.NewMessage, or None when the content was discarded
raises Rejected   -> .code .status .text for the client (too many hops, header_checks REJECT ...)

Submission(queue_id, sender, recipients, content, received=..., local=True, ...)
    content: CRLF line ends, not dot-stuffed; recipients: list of mta.queue.Recipient as the client named them
    local: the client may have its headers completed and rewritten (local_header_rewrite_clients)

received.received_header(...)    the trace header exactly as smtpd(8) writes it
headers.split(content)           the header block as (name, octets) and the body
rewriting, missing, expansion, checks: one step each
"""

from mta.message.cleanup import Cleanup, Rules
from mta.message.submission import Rejected, Submission

__all__ = ["Cleanup", "Rejected", "Rules", "Submission"]
