"""Delivery agents: they take some recipients of one message to one destination and say how each fared.

request = Request(message, recipients, read_content, nexthop, times)    request.py
results = await agent.deliver(request)                                  one Result per recipient, always
agent.deliver raises nothing but asyncio.CancelledError; what it cannot do is a deferred result.

agents      master.cf's services by name: smtp, relay, lmtp, error, retry, discard, local, virtual, pipe ...
smtp        smtp(8) and lmtp(8)
simple      error(8), retry, discard(8)
host        local(8), virtual(8) and pipe(8): delivery on this host, as the recipient
result      Result, delay figures and the `status=` log line
bounce      RFC 3464 reports, worded as bounce(8) does
"""
