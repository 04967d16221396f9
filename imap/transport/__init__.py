"""Carries IMAP and POP3 sessions on Twisted: accepting, TLS, back-pressure, time-outs, draining."""

from imap.transport.connection import Connection
from imap.transport.reactor import install_reactor
from imap.transport.server import Bound, MakeSession, Server

__all__ = ["Bound", "Connection", "MakeSession", "Server", "install_reactor"]
