"""The SMTP server, Postfix's smtpd(8), on asyncio and aiosmtpd's session and envelope.

    service.prepare(config, sockets) -> serve      what the supervisor calls (one worker process)
    service.check(config) -> [str]                 what would keep it from starting

    server.Server.from_config(config, queue)       what all sessions of a worker share: parameters, tables, queue
    connection.Connection(server)                  one client: an asyncio protocol, a subclass of aiosmtpd's SMTP
    dialogue.converse(connection)                  the session, from greeting to the line in the log at its end
    commands.COMMANDS                              one row for each command: name, flags, handler

Protocol code is sans-I/O: lines (bounded command lines), dotreader (the content of DATA), arguments (words of a
command), haproxy (PROXY headers), replies. The commands: greeting, transaction, content, authentication, starttls,
verification, forwarding (XCLIENT, XFORWARD). Beside them: peers (client names), limits (through anvil), greetpause
(postscreen's pregreet test), filters (smtpd_milters), proxyfilter (smtpd_proxy_filter), footer.

The restriction lists are data, compiled when the configuration is read and evaluated by one engine:

    access.engine.Access(config, resolver, dns)    every unknown restriction is a ConfigError with file and line
    access.registry.RESTRICTIONS                   one row for each restriction that postconf(5) names

Accepted content goes through mta.message (cleanup(8)) and the content filters to mta.queue; `250` is sent when it is
durable there.
"""
