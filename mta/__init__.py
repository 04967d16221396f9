"""The mail transfer agent: SMTP in, a durable queue, SMTP and LMTP out; read from main.cf and master.cf."""
