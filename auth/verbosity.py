"""How much the auth service logs: auth_debug and auth_verbose, of the configuration and of its passdbs and userdbs."""

from __future__ import annotations

import logging

from .settings import AuthSettings


class Description(str):
    """A request's name in the log; ``verbose`` as in the request."""

    verbose: bool | None = None


class _Filter(logging.Filter):
    """Lets through what the block of the database that is being asked wants to be logged (its ``auth_verbose``)."""

    def __init__(self, *, verbose: bool) -> None:
        super().__init__()
        self._verbose = verbose

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log it."""
        if record.levelno > logging.INFO:
            return True
        about = record.args[0] if isinstance(record.args, tuple) and record.args else None
        verbose = about.verbose if isinstance(about, Description) else None
        return self._verbose if verbose is None else verbose


def set_verbosity(log: logging.Logger, settings: AuthSettings) -> None:
    """Have ``log`` say what the settings ask for."""
    verbose = settings.verbose or settings.debug
    wanted = {block.verbose for block in (*settings.passdbs, *settings.userdbs)} - {None}
    log.setLevel(logging.DEBUG if settings.debug else logging.INFO if verbose or True in wanted else logging.WARNING)
    for old in [each for each in log.filters if isinstance(each, _Filter)]:
        log.removeFilter(old)
    if wanted - {verbose}:
        log.addFilter(_Filter(verbose=verbose))
