"""TCP wrappers: libwrap's access control language, hosts_access(5) with the options of hosts_options(5).

    files = AccessFiles.open(Path("/etc/hosts.allow"), Path("/etc/hosts.deny"))     # reads both; empty path: no file
    decision = files.decide(Request("smtpd", client=Host("192.0.2.1", "mx.example.com"), server=Host("192.0.2.25")))
    if not decision.granted:
        log.log(decision.level, "refused connect from %s", ...)

Everything but `AccessFiles` is free of input and output: `parse(text, file)` makes a `Table`, `decide(allow, deny,
request)` judges. A name is `UNKNOWN` where there is none and `PARANOID` where it does not lead back to the address.

hardmail reads and judges; it never runs what a table names. `spawn` is skipped, `twist` and `aclexec` refuse the
client, each with a warning when the table is read.
"""

from auth.tcpwrap.access import Decision, decide
from auth.tcpwrap.files import AccessFiles
from auth.tcpwrap.patterns import PARANOID, UNKNOWN, Host, Request
from auth.tcpwrap.syntax import Problem, Rule, Table, parse

__all__ = [
    "PARANOID",
    "UNKNOWN",
    "AccessFiles",
    "Decision",
    "Host",
    "Problem",
    "Request",
    "Rule",
    "Table",
    "decide",
    "parse",
]
