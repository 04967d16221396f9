"""`hardmail audit`: looks at any SMTP, IMAP or POP3 server from outside for the behaviours of the catalogue.

    target     smtp://mail.example.org:25 as a value, and which targets may be audited at all
    settings   what the one who asks allows: rate, time-outs, credentials, consents
    finding    Severity, Rule (what can be wrong, why, how to mend it), Finding (where it was seen, with the wire lines)
    visit      one target under audit: opens connections at a polite rate, collects findings and facts
    checks/    one file per subject: its rules and the probe that finds them
    audit      all checks over all targets -> Report
    report (JSON), text, sarif, page (HTML)    what was found, for people and programs
    command    the command line

Everything that a server says is hostile: lines and octets are bounded, every wait has an end, and what is shown has
its control characters escaped. Nothing is changed on a server, and no mail sent, but by `--allow`.
"""
