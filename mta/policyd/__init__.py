"""A policy server for check_policy_service: SPF (RFC 7208) behind Postfix's policy delegation protocol.

    checker = Checker(resolver)                              # mta.dns.Resolver
    outcome = await checker.check("192.0.2.1", "example.com", "user@example.com", "mail.example.com")
    outcome.result                                            # Result.PASS, .FAIL, ...

`record.parse` reads a record, `macros.expand` its macros, both without input or output; `spf.Checker` asks the DNS.
`protocol.RequestReader` reads requests (SMTPD_POLICY_README), `policy.Policy` turns an outcome into an action, and
`service` carries both: as a service of ours (`policy-spf unix - n n - 0 hardmail-policyd`), for any Postfix over a
socket, or on standard input under spawn(8) (`hardmail policyd`).
"""

from mta.policyd.spf import Checker, Outcome, Result

__all__ = ["Checker", "Outcome", "Result"]
