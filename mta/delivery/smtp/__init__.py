"""smtp(8) and lmtp(8): the mail client on aiosmtplib.

nexthop      `[host]:port`, `example.com:submission`, `unix:/path` taken apart
hosts        which addresses to try, in which order (RFC 5321 section 5.1)
protocol     aiosmtplib's protocol, with command pipelining (RFC 2920)
reply        replies, their enhanced status codes and how they are quoted in reports
session      greeting, EHLO, STARTTLS, AUTH
transaction  MAIL, RCPT, DATA and what each recipient got for an answer
tlspolicy    how much TLS a destination must have
sasl         which password goes to whom, and by which mechanism
content      generic maps and dot-stuffing
agent        one delivery: hosts in turn, connections kept
"""
