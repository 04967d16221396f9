"""Authentication for hardmail: Dovecot's auth protocol, SASL mechanisms, password schemes and databases, dovecot.conf.

What the other rooms use:

Configuration (``auth.dovecotconf``), wiki: ConfigFile, man doveconf(1)::

    config = DovecotConfig.load("/etc/dovecot/dovecot.conf")   # ConfigErrors: every error, with file and line
    config.warnings                     list[str], as doveconf words them
    config.str("mail_location")         string; a ``<file`` value gives the file's text
    config.path("ssl_cert")             Path of a ``<file`` value (absolute), None when empty or not a file
    config.bool("mail_debug")  config.int("first_valid_uid")  config.seconds("auth_failure_delay") -> float
    config.size("imap_max_line_length") octets; 0 where Dovecot writes 0 (its meaning is the parameter's)
    config.list("mail_plugins")         words separated by white space;  config.is_set("ssl_key")
    config.plugin("quota_rule")         value in ``plugin { }`` or None;  config.plugins -> Mapping[str, str]
    config.blocks("passdb")             ordered blocks, each with the same getters (block.str("driver"));
                                        also "userdb", "namespace" (block.name, block.blocks("mailbox"))
    config.protocols                    list[str];  config.protocol("imap") -> the same view with ``protocol imap {}``
    config.connection(protocol="imap", local="127.0.0.1", remote="10.1.2.3", local_name="x") -> filtered view
    config.service("auth") -> Service   Dovecot's default merged;  config.services() -> the enabled ones
    config.base_dir, config.state_dir   Path;  config.source Path of dovecot.conf

    Service: name, user, group, extra_groups, chroot, executable, protocol, process_limit, process_min_avail,
             client_limit, service_count, vsz_limit (octets), idle_kill (seconds, inf = never),
             listeners: list[UnixListener | InetListener]      (disabled ones, mode 0 or port 0, are left out)
    UnixListener: path (absolute), mode (int), user, group ("" = the process's own), tag (last part of the path), fifo
    InetListener: name, address (numeric, one object per address of ``listen``), port, ssl, haproxy, reuse_port, tag
             both have .options, a mapping of words (ssl=yes, mode=660), and .service
    User names are resolved text ("$default_internal_user" is already replaced); an explicitly written name has
    ``user_explicit`` / ``group_explicit`` true, a default one has not.

Client (``auth.client``), asyncio, one kept connection, many interleaved requests::

    client = AuthClient("/run/dovecot/auth-client", service="smtp")
    await client.mechanisms() -> list[Mechanism(name, flags)]
    await client.authenticate("PLAIN", b"\\0user\\0password", challenge, secured=True, local=("127.0.0.1", 25),
        remote=("127.0.0.9", 4711), session="...") -> AuthSuccess(user, fields)
        raises AuthFailed(user, code, temp, reason, ...), AuthUnavailable; ``challenge(bytes) -> bytes`` is awaited
        per CONT and raises AuthCancelled to give up.
        AuthSuccess: .fields (nologin, original_user, auth_user, ...), .nologin, .final (the mechanism's last message)
    master = MasterClient("/run/dovecot/auth-userdb")
    await master.user("alice", service="lmtp") -> UserFields(user, fields, .uid, .gid, .home) | None (unknown user)
    await master.passdb("alice", service="doveadm") ; async for user in master.list("*", service="doveadm")
        all raise AuthUnavailable; its subclass LookupFailed(reason) when the service itself says "try later"

Variables (``auth.variables``): ``expand("maildir:~/%Ld/%n", lookup)`` for ``%u %n %d %h ...`` of any setting.

Service (``auth.service``): ``prepare(config, sockets)`` as the supervisor calls it; ``check(config)`` tells in lines
what would keep it from starting, ``files(config)`` what it reads besides dovecot.conf. Tools:
``auth.doveconf:main``, ``auth.doveadm:main``. Wire machines without a socket: ``auth.protocol``.
"""
