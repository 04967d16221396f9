"""smtp(8) and lmtp(8): the mail client on aiosmtplib.

nexthop      `[host]:port`, `example.com:submission`, `unix:/path` taken apart
hosts        which addresses to try, in which order (RFC 5321 section 5.1)
protocol     aiosmtplib's protocol, with command pipelining (RFC 2920)
reply        replies, their enhanced status codes and how they are quoted in reports
session      greeting, EHLO, STARTTLS, AUTH
tlssettings  main.cf's TLS parameters
tlspolicy    how much TLS a destination must have
sasl         which password goes to whom, and by which mechanism
envelope     MAIL and RCPT with their parameters
transaction  MAIL, RCPT, DATA and what each recipient got for an answer
generic      addresses as the outside world is to see them (generic(5))
checks       smtp_header_checks and their kin
downgrade    8-bit mail for 7-bit servers
content      long lines and dots
pool         connections kept for the next delivery
delivery     one delivery: hosts in turn, until every recipient has a result
client       what one service of master.cf works with
agent        the delivery agent
"""
