"""TLS for hardmail: certificates, protocol policy, contexts and the STARTTLS gate. Knows nothing of mail."""
