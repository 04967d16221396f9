"""The Dovecot auth protocols without any I/O: client 1.2 and master/userdb 1.1, both sides of each.

Source: Dovecot 2.3, doc/wiki Design/AuthProtocol. A machine takes bytes (``receive``), yields events, and holds the
bytes to be sent (``data_to_send``); only ``ProtocolError`` leaves it.
"""

from __future__ import annotations

from .client import ClientConnection, Mechanism
from .master_client import MasterClientConnection
from .master_server import MasterServerConnection
from .parameters import Parameters
from .server import ServerConnection
from .wire import ProtocolError

__all__ = [
    "ClientConnection",
    "MasterClientConnection",
    "MasterServerConnection",
    "Mechanism",
    "Parameters",
    "ProtocolError",
    "ServerConnection",
]
