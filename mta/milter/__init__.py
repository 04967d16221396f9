"""Content filters by the milter protocol, version 6, as Postfix speaks it (MILTER_README): rspamd, OpenDKIM, ClamAV ...

    filters = Filters.from_config(config, "smtpd_milters")     # once for each process; False when there are none
    chain = filters.chain(macros)                              # once for each SMTP session
    verdict = await chain.connect(...); .helo(name); .mail(...); .rcpt(...); .data(); .unknown(line)
    verdict = await chain.content(content, edits)              # headers, body, end; edits collects what is changed
    await chain.abort(); await chain.close()

A verdict is None (go on) or a Verdict: the reply for the client, or hold / discard / hang up. What happens when a
filter cannot be asked is told by milter_default_action, for each filter.

    protocol    packets and their fields: sans-I/O
    link        one connection to one filter, with time limits
    chain       all filters of a session in order, and what their answers mean
    edits       what filters change in a message, applied to its content
    macros      the values that filters are told beside each event
"""

from mta.milter.chain import Chain, Filters, Verdict
from mta.milter.edits import Edits

__all__ = ["Chain", "Edits", "Filters", "Verdict"]
