"""The SMTP server, Postfix's smtpd(8), on asyncio and aiosmtpd's session and envelope.

    service.prepare(config, sockets) -> serve      what the supervisor calls (one worker process)

    server.Server.from_config(config, ...)         what all sessions of a worker share: parameters, tables, queue
    connection.Connection(server, listener)        one client: an asyncio protocol, a subclass of aiosmtpd's SMTP
    commands.COMMANDS                              one row for each command: name, flags, handler

Protocol code is sans-I/O: lines (bounded command lines), dotreader (the content of DATA), arguments (words of a
command), replies. The restriction lists are data, compiled when the configuration is read and evaluated by one engine:

    access.compile_lists(config) -> every unknown restriction is a configuration error with its parameter's name
    access.registry.RESTRICTIONS                   one row for each restriction that postconf(5) names

Accepted content goes through mta.message (cleanup(8)) to mta.queue; `250` is sent when it is durable.
"""
