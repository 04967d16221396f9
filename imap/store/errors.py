"""What can go wrong in the mail store: each error carries the response code and text that the client is given.

The texts and codes are Dovecot's (RFC 5530 response codes). `str(error)` may be sent to the peer; the private reason,
if there is one, stands in `error.reason` and belongs in the log only.
"""


class StoreError(Exception):
    """Base of all store errors.

    `code` is the response code without brackets ("CANNOT", "NONEXISTENT" ...) or None; `text` the human part.
    """

    code: str | None = None
    text: str = "Internal error occurred. Refer to server log for more information."

    def __init__(self, text: str | None = None, *, code: str | None = None, reason: str | None = None) -> None:
        if text is not None:
            self.text = text
        if code is not None:
            self.code = code
        self.reason = reason
        super().__init__(self.text)


class NonExistent(StoreError):
    """The mailbox is not there. APPEND, COPY and MOVE answer it with TRYCREATE in place of the code."""

    code = "NONEXISTENT"

    def __init__(self, name: str = "", text: str | None = None) -> None:
        super().__init__(text if text is not None else f"Mailbox doesn't exist: {name}")
        self.name = name


class AlreadyExists(StoreError):
    """CREATE or RENAME onto a name that is taken."""

    code = "ALREADYEXISTS"
    text = "Mailbox already exists"


class InvalidName(StoreError):
    """A mailbox name that cannot be mapped into the mail root."""

    code: str | None = "CANNOT"
    text = "Invalid mailbox name"


class NotSelectable(StoreError):
    """A name that exists only as a parent of other names, or whose directory holds no mailbox."""

    code = "NONEXISTENT"
    text = "Mailbox isn't selectable"


class NotPossible(StoreError):
    """The operation makes no sense on this mailbox (deleting INBOX, renaming a parent into its child ...)."""

    code = "CANNOT"
    text = "Not possible"


class NoPermission(StoreError):
    """The file system, or the read-only mode of the mailbox, forbids it."""

    code: str | None = "NOPERM"
    text = "Permission denied"


class ReadOnly(NoPermission):
    """A change on a mailbox that was opened by EXAMINE."""

    code: str | None = None
    text = "Mailbox is read-only"


class InUse(StoreError):
    """A lock could not be had in time; the client may try again."""

    code = "INUSE"
    text = "Timeout while waiting for lock"


class OverQuota(StoreError):
    """The quota or the disk is full."""

    code = "OVERQUOTA"
    text = "Quota exceeded (mailbox for user is full)"


class LimitExceeded(StoreError):
    """A limit of ours (mail size, number of keywords ...) was met."""

    code = "LIMIT"
    text = "Limit exceeded"


class Expunged(StoreError):
    """The message was expunged, by this or another session, since the view was made (RFC 5530 EXPUNGEISSUED)."""

    code = "EXPUNGEISSUED"
    text = "Some of the requested messages no longer exist."


class MailboxDeleted(StoreError):
    """The open mailbox was deleted, renamed or made anew (UIDVALIDITY changed) by another session: close it."""

    text = "Mailbox was deleted under us"


class Corrupt(StoreError):
    """A file of the store is damaged beyond what a rebuild mends."""

    code = "SERVERBUG"


class JailEscape(StoreError):
    """A path would leave the mail root (a symbolic link, `..`, a mount trick): refused, and worth a log line."""

    code = "CANNOT"
    text = "Invalid mailbox name"
