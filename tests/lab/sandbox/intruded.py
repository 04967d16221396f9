"""`hardmail` with an intruder in its IMAP service: a hook for test_jail.py, no part of what is shipped.

The service is the real one. Once it serves, code runs inside its process, as if a client had broken in, tries to open
the files that the environment names, and reports in the mail root, the one place where the process may write.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from imap.config import MailSettings
from imap.imap4 import service as imap4
from lab.cli import main
from lab.plan import dovecot as plan_dovecot

FILES = os.environ.get("INTRUDER_FILES", "").split(os.pathsep)
REPORT = "intruder.json"


def prepare(config: Any, sockets: Any) -> Any:
    """The IMAP service's own `prepare`, and what the intruder does once the process is confined."""
    serve_imap = imap4.prepare(config, sockets)
    report = MailSettings.from_config(config.protocol("imap")).mail_root / REPORT

    async def serve(drain: asyncio.Event, ready: Callable[[], None]) -> None:
        def break_in() -> None:
            report.write_text(json.dumps({"pid": os.getpid(), "uid": os.getuid(), "files": attempts(report.parent)}))
            ready()

        await serve_imap(drain, break_in)

    return serve


def attempts(mail_root: Path) -> dict[str, str]:
    """What opening each file gives: `opened`, or the kernel's reason."""
    found = {}
    for file in (*FILES, str(mail_root)):
        try:
            os.close(os.open(file, os.O_RDONLY))
            found[file] = "opened"
        except OSError as error:
            found[file] = error.strerror or str(error)
    return found


if __name__ == "__main__":
    plan_dovecot.ENTRIES["imap"] = "__main__:prepare"
    main()
