"""Address verification, Postfix's verify(8): does an address exist, asked of whoever would get its mail.

    cache.Cache(store, settings, clock)        what earlier probes found, and when it is time for another
    store.open_store(config)                   where that is kept: address_verify_map
    probes.Prober(...)                         sends probes through the queue, hears of their end; in the queue manager
    server.VerifyServer(prober)                answers smtpd processes on private/verify
    client.VerifyClient(path)                  asks it; reject_unverified_recipient and reject_unverified_sender

A probe is a message without a purpose: it goes through cleanup, queue and delivery agents as mail does, and ends where
the next server has accepted or refused its recipient. It is never delivered.
"""
