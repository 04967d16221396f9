"""dovecot.conf: reading, checking, typed access, services with Dovecot 2.3's defaults, and doveconf's output.

The interface is described in ``auth``. ``DovecotConfig.load`` reads; everything else is a view on what was read.
"""

from __future__ import annotations

from .config import DovecotConfig
from .errors import ConfigError, ConfigErrors
from .services import InetListener, Service, UnixListener
from .view import View

__all__ = ["ConfigError", "ConfigErrors", "DovecotConfig", "InetListener", "Service", "UnixListener", "View"]
