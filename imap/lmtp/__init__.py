"""LMTP (RFC 2033): mail comes in here from an MTA and goes into the users' mailboxes, as Dovecot's lmtp does it.

imap.lmtp.service.prepare(config, sockets)   what the supervisor calls
imap.lmtp.session.Session                    one connection, on aiosmtpd's LMTP
imap.lmtp.syntax, imap.lmtp.wire             command syntax and input, without any socket
imap.lmtp.delivery.Delivery                  a recipient's mailbox and the headers put before the mail
"""
