"""anvil(8): how many connections a client has open and how often it asked for what, counted over all processes.

    counters   the statistics themselves; pure, with an injected clock
    protocol   requests and answers as anvil(8) describes them; sans-I/O
    service    the process that counts for all smtpd processes
    client     what an smtpd process asks it with

`Counter` is what a limit is checked against: `Counters` within one process, `AnvilClient` over several.
"""

from mta.anvil.client import AnvilClient
from mta.anvil.counters import Count, Counter, Counters, LocalCounter

__all__ = ["AnvilClient", "Count", "Counter", "Counters", "LocalCounter"]
