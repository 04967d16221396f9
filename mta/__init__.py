"""The mail transfer agent: SMTP in, a durable queue, SMTP and LMTP out, configured by Postfix's main.cf and master.cf."""
