"""SMTP access policy: Postfix's restriction lists as data, evaluated by one engine (SMTPD_ACCESS_README, access(5)).

    registry.RESTRICTIONS     one row for each restriction: its names, its argument, its function
    lists.compile_list        words of main.cf -> steps; every unknown name is a ConfigError with file and line
    engine.Access             the seven lists, smtpd_delay_reject, defer_if_permit; what the commands call
    check.Check               one evaluation: who is checked at which stage, and how to refuse
    actions                   access(5) results
    generic, client, names, sender, recipient, tables, dnsbl, policy       the restrictions themselves

A restriction is an `async` function of a Check (and its argument) that gives a Verdict: None (DUNNO, the next one
decides), PERMIT (the list ends here), or the Reply that refuses.
"""
