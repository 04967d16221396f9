"""The commands of IMAP, one class each, found by name."""

from imap.imap4.commands.acl import DeleteAcl, GetAcl, ListRights, MyRights, SetAcl
from imap.imap4.commands.append import Append, Replace
from imap.imap4.commands.authentication import Authenticate, Login, StartTls
from imap.imap4.commands.base import Command
from imap.imap4.commands.extension import Compress, Enable, Id, Idle, Namespace, NotifyCommand
from imap.imap4.commands.fetch import Fetch
from imap.imap4.commands.general import Capability, Check, Logout, Noop
from imap.imap4.commands.listing import List, Lsub, Xlist
from imap.imap4.commands.mailbox import Create, Delete, Rename, Status, Subscribe, Unsubscribe
from imap.imap4.commands.message import Copy, Expunge, Move, Store
from imap.imap4.commands.metadata import GetMetadata, SetMetadata
from imap.imap4.commands.quota import GetQuota, GetQuotaRoot, SetQuota
from imap.imap4.commands.search import CancelUpdate, Search, Sort, Thread
from imap.imap4.commands.select import Close, Examine, Select, Unselect

COMMANDS: dict[str, type[Command]] = {
    each.name: each
    for each in (
        Append,
        Authenticate,
        CancelUpdate,
        Capability,
        Check,
        Close,
        Compress,
        Copy,
        Create,
        Delete,
        DeleteAcl,
        Enable,
        Examine,
        Expunge,
        Fetch,
        GetAcl,
        GetMetadata,
        GetQuota,
        GetQuotaRoot,
        Id,
        Idle,
        List,
        ListRights,
        Login,
        Logout,
        Lsub,
        Move,
        MyRights,
        Namespace,
        Noop,
        NotifyCommand,
        Rename,
        Replace,
        Search,
        Select,
        SetAcl,
        SetMetadata,
        SetQuota,
        Sort,
        StartTls,
        Status,
        Store,
        Subscribe,
        Thread,
        Unselect,
        Unsubscribe,
        Xlist,
    )
}
