"""Listening sockets that a service inherits: their files belong to the supervisor."""

from __future__ import annotations

import sys
from typing import Any

# From Python 3.13 on, a closing unix server removes its socket's file, which a reload still needs.
KEEP_FILE: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
