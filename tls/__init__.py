r"""TLS for hardmail: certificates, protocol policy, contexts and the STARTTLS gate. Knows nothing of mail.

    authority         the lab's certificate authority
        Authority.create(directory, name="hardmail lab CA") -> Authority      Authority.load(directory)
        authority.issue_server(["mail.example.org", "127.0.0.2"]) -> Credentials     .issue_client("alice")
        authority.renew(credentials, within_days=30) -> Credentials           .certificate_file  (give it to clients)
        authority.revoke(certificate) -> Path     the authority and its revocation list in one file (revocation.py)
        Credentials: .certificate_file  .key_file  .certificate  .not_after

    policy            which protocol versions and ciphers a side will speak
        Policy.from_postfix(protocols=">=TLSv1.2", ciphers="medium", exclude_ciphers="")     protocols=None: not set
        Policy.from_dovecot(ssl_min_protocol="TLSv1.2", ssl_cipher_list=..., ssl_prefer_server_ciphers=False)
        Policy()      hardmail's own: TLS 1.2 and up

    context           the only place where an SSL context is made
        server_context(certificate_file, key_file, policy, detailed=False, ...) -> ssl.SSLContext
                       ...: openssl_context.ServerSettings; detailed: description knows the key exchange too
        client_context(policy, ca_file=None, ca_path=None, verify="none" | "fingerprint" | "chain" | "name", ...)
        context_twisted.twisted_server_options(certificate_file, key_file, policy, ...)   for startTLS / listenSSL
        openssl_context.openssl_server_context    what it is made of; the settings that both share are told there
        Certificates, keys and authorities are paths or PEM text (pem.py).

    names, fingerprint    which names a certificate answers to; "AB:CD:..." of a certificate or of its public key
        names.matches(certificate, ["mail.example.org", ".example.org"])
        fingerprint.matches(der, listed, "sha256")   .certificate_fingerprint(der, "sha256")   .public_key_fingerprint

    description       what a finished handshake agreed, in the words of Postfix's log and Received header
        describe(ssl_object) -> Session;  session.trust  session.summary()  session.received(certificate_requested)

    starttls_asyncio  the gate for asyncio streams, aiosmtpd and uvloop
        await upgrade_server(reader, writer, context, go_ahead=b"220 2.0.0 Ready to start TLS\r\n", timeout=30)
        await upgrade_client(reader, writer, context, server_hostname="mail.example.org", timeout=30)

    starttls_twisted  the gate for Twisted line protocols
        discarded = upgrade_server(protocol, options, go_ahead=b"+OK Begin TLS negotiation now.\r\n")
        (both gates: keep_plaintext=True leaves them open, for the weakened twin of no-starttls-injection)

    probe             what a server would agree to, from SSL 2.0 to TLS 1.3: Hello(...).octets(), Flight().feed(octets)
    bio               pyOpenSSL in the shape of ssl.SSLObject, where Python's ssl cannot do what Postfix does
    tool              the command `hardmail ca`

The gate's one rule: what the peer sent before the handshake is never acted upon after it, whichever side the peer
is (RFC 3207 section 6, the class of CVE-2011-0411). The server's go-ahead line is therefore an argument of the
gate: bytes that arrive before it is written are an injection and are dropped, bytes that arrive after it belong to
the handshake and never reach the plaintext reader.

Every failure to agree on TLS is a `TLSHandshakeError` (errors.py); every unreadable certificate, key or setting is a
`TLSConfigError`. Nothing here logs: the caller knows whose session it is.
"""
