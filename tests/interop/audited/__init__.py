"""Real servers in Debian's default and in a hardened configuration, audited beside nmap, testssl.sh, sslyze and swaks.

`python -m tests.interop.audited.compare > docs/audit-comparison.md` (root; see its --help) makes the comparison.
"""
