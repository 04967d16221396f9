"""What dovecot.conf says about mail: the mail root, each user's location and namespaces, special-use mailboxes."""

from __future__ import annotations

import logging
import os
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from auth.variables import expand
from imap.store import MailRoot, NamespaceInfo, SpecialMailbox, StoreError, UserStore
from imap.store.access import AclSettings, read_global
from imap.store.location import BadLocation, Location, beneath, parse
from imap.store.maildir import Fsync
from imap.store.quota import BadQuota, roots
from imap.store.root import SharedNamespace

if TYPE_CHECKING:
    from auth.dovecotconf import DovecotConfig, View

log = logging.getLogger("dovecot.store")

_OWNER = re.compile("%%[un]")
_HOME_FIELD = re.compile(r"(?:^|\s)(?:userdb_)?(?:home|mail)=(\S+)")
# Where no setting tells, a passwd-file is read for its home directories, up to this size.
_PASSWD_FILE_LIMIT = 4 * 1024 * 1024
_SYSTEM_HOMES = "/home"  # userdb { driver = passwd }
_DEFAULT_LOCATION = "maildir:~/Maildir"  # Dovecot's autodetection, for a user who has no mail yet


class NoMailRoot(ValueError):
    """The configuration does not tell under which directory all mail lies."""


@dataclass(frozen=True, slots=True)
class _Namespace:
    """A namespace block, variables not yet expanded."""

    info: NamespaceInfo
    location: str  # "" = mail_location
    separator: str  # "" = the layout's own


@dataclass(frozen=True, slots=True)
class MailSettings:
    """Settings of dovecot.conf on mail storage, as one protocol sees them."""

    mail_root: Path
    mail_location: str
    mail_home: str
    fsync: Fsync
    full_access: bool
    namespaces: tuple[_Namespace, ...]
    quota: Mapping[str, str] = field(default_factory=dict)  # settings of `plugin { }`, if the quota plugin is loaded
    attributes: str = ""  # template of the path of mail_attribute_dict; "" = none
    acl: AclSettings | None = None  # if the acl plugin is loaded
    plugins: Mapping[str, str] = field(default_factory=dict)  # acl_user, acl_groups of `plugin { }`
    openpgp_key: str = ""  # template of the path of the key that a user's mail is encrypted to; "" = not encrypted

    @classmethod
    def from_config(cls, config: DovecotConfig) -> MailSettings:
        """Read the settings. Raises NoMailRoot, BadQuota (both are ValueErrors), ValueError."""
        quota = {key: value for key, value in config.plugins.items() if key.startswith("quota")}
        quota = quota if "quota" in config.list("mail_plugins") else {}
        roots(quota)
        return cls(
            mail_root=Path(mail_root(config)),
            mail_location=config.str("mail_location"),
            mail_home=config.str("mail_home"),
            fsync=cast("Fsync", config.str("mail_fsync")),
            full_access=config.bool("mail_full_filesystem_access"),
            namespaces=tuple(_namespaces(config)),
            quota=quota,
            attributes=_attribute_file(config.str("mail_attribute_dict")),
            acl=_acl(config) if "acl" in config.list("mail_plugins") else None,
            plugins={key: value for key, value in config.plugins.items() if key in ("acl_user", "acl_groups")},
            openpgp_key=config.str("hardmail_openpgp_key"),
        )

    def user_store(self, root: MailRoot, username: str, fields: Mapping[str, str]) -> UserStore:
        """A user's mail by the fields of the userdb (home, mail, uid ...). Raises StoreError (BadLocation)."""
        home = fields.get("home") or expand(self.mail_home, _Variables(username, fields, "")) or None
        variables = _Variables(username, fields, home or "")
        default = fields.get("mail") or expand(self.mail_location, variables) or _DEFAULT_LOCATION
        namespaces = [
            self._namespace(namespace, expand(namespace.location, variables) or default, home, variables)
            for namespace in self.namespaces
            if not _is_template(namespace.info)
        ]
        anywhere = str(self.mail_root) if self.full_access else None
        try:
            quota = roots(self.quota, fields) if self.quota else ()
        except BadQuota as error:
            raise StoreError(code="SERVERBUG", reason=str(error)) from error
        file = self._attribute_file(variables)
        fields = {**self.plugins, **fields}
        return root.user(
            username, namespaces, self.fsync, anywhere, quota, file, self.acl,
            groups=frozenset(filter(None, fields.get("acl_groups", "").replace(" ", "").split(","))),
            acl_user=fields.get("acl_user", ""),
            shared=[self._shared(each, variables) for each in self.namespaces if _is_template(each.info)],
        )  # fmt: skip

    def _shared(self, namespace: _Namespace, variables: _Variables) -> SharedNamespace:
        """A namespace with `%%u` or `%%n` in its prefix: what is doubled stands for its owner, not for the user."""
        template = expand(namespace.location, variables)

        def locate(owner: str) -> tuple[Location, str]:
            home = expand(self.mail_home, _Variables(owner, {}, "")) or None
            named = _Variables(owner, {}, home or "")
            return parse(expand(template, named), str(self.mail_root), home), self._attribute_file(named)

        prefix = expand(namespace.info.prefix, variables)
        separator = namespace.separator or ("/" if ":layout=fs" in template.casefold() else ".")
        return replace(namespace.info, prefix=prefix, separator=separator), locate

    def _attribute_file(self, variables: _Variables) -> str:
        """A user's mail_attribute_dict, relative to the mail root. Raises BadLocation."""
        return beneath(expand(self.attributes, variables), str(self.mail_root)) if self.attributes else ""

    def openpgp_key_file(self, username: str, fields: Mapping[str, str]) -> Path | None:
        """The file with the key that this user's mail is encrypted to; None without encryption. Raises BadLocation."""
        if not self.openpgp_key:
            return None
        return Path(expand(self.openpgp_key, _Variables(username, fields, fields.get("home", ""))))

    def _namespace(
        self, namespace: _Namespace, location: str, home: str | None, variables: _Variables
    ) -> tuple[NamespaceInfo, Location]:
        place = parse(location, str(self.mail_root), home)
        info = namespace.info
        named = NamespaceInfo(
            prefix=expand(info.prefix, variables),
            separator=namespace.separator or place.separator,
            kind=info.kind,
            inbox=info.inbox,
            hidden=info.hidden,
            listed=info.listed,
            subscriptions=info.subscriptions,
            mailboxes=info.mailboxes,
        )
        return named, place


class _Variables:
    """The `%` variables of mail settings (doc/wiki Variables). What comes from a user's name cannot be a path."""

    def __init__(self, username: str, fields: Mapping[str, str], home: str) -> None:
        name, at, domain = username.partition("@")
        self._fields = fields
        self._values = {
            **dict.fromkeys(("u", "user"), username),
            **dict.fromkeys(("n", "username"), name),
            **dict.fromkeys(("d", "domain"), domain if at else ""),
            **dict.fromkeys(("i", "uid"), fields.get("uid", "")),
            **dict.fromkeys(("g", "gid"), fields.get("gid", "")),
            **dict.fromkeys(("p", "pid"), str(os.getpid())),
            "hostname": os.uname().nodename,
        }
        self._home = home

    def __call__(self, name: str) -> str | None:
        if name in ("h", "home"):
            return self._home
        if name.startswith(("userdb:", "auth_")):
            return self._fields.get(name.partition(":")[2].partition(":")[0], "")
        value = self._values.get(name)
        if value is not None and ("/" in value or "\0" in value or value in (".", "..")):
            raise BadLocation(reason=f"user name cannot be part of a path: {value!r}")
        return value


def _namespaces(config: DovecotConfig) -> Iterator[_Namespace]:
    """The namespace blocks; without any, one with an empty prefix that holds INBOX."""
    blocks = [block for block in config.blocks("namespace") if not block.bool("disabled")]
    if not blocks:
        yield _Namespace(NamespaceInfo(prefix="", separator=".", inbox=True), "", "")
        return
    inbox = next((block for block in blocks if block.bool("inbox")), None) or next(
        (block for block in blocks if block.str("type") == "private"), blocks[0]
    )
    for block in blocks:
        yield _Namespace(
            NamespaceInfo(
                prefix=block.str("prefix"),
                separator=".",
                kind=cast("Literal['private', 'shared', 'public']", block.str("type")),
                inbox=block is inbox,
                hidden=block.bool("hidden"),
                listed=cast("Literal['yes', 'no', 'children']", block.str("list")),
                subscriptions=block.bool("subscriptions"),
                mailboxes=tuple(_special(view) for view in block.blocks("mailbox")),
            ),
            block.str("location"),
            block.str("separator"),
        )


def _is_template(info: NamespaceInfo) -> bool:
    return info.kind == "shared" and _OWNER.search(info.prefix) is not None


def _acl(config: DovecotConfig) -> AclSettings:
    """Settings of the acl plugin. The global file is read now. Raises ValueError, OSError."""
    plugins = config.plugins
    backend, _, path = plugins.get("acl", "").partition(":")
    if backend not in ("vfile", ""):
        raise ValueError(f"acl = {plugins['acl']}: only vfile is served")
    path = path.partition(":")[0]  # cache_secs may follow
    shared = plugins.get("acl_shared_dict", "")
    if shared and not shared.startswith("file:"):
        raise ValueError(f"acl_shared_dict = {shared}: only file:PATH is served")
    try:
        everywhere = read_global(Path(path).read_text(errors="surrogateescape")) if path else ()
        where = beneath(shared.removeprefix("file:"), mail_root(config)) if shared else ""
    except StoreError as error:
        raise ValueError(f"acl: {error.reason}") from error
    return AclSettings(
        everywhere=everywhere,
        anyone=plugins.get("acl_anyone", "") == "allow",
        globals_only=plugins.get("acl_globals_only", "") == "yes",
        shared_dict=where,
    )


def _attribute_file(setting: str) -> str:
    """The path of `mail_attribute_dict = file:PATH`. Raises ValueError for a dict of another kind."""
    driver, _, path = setting.partition(":")
    if setting and (driver != "file" or not path):
        raise ValueError(f"mail_attribute_dict = {setting}: only file:PATH is served")
    return path


def _special(block: View) -> SpecialMailbox:
    return SpecialMailbox(
        name=block.str("name") or block.name,
        special_use=tuple(block.str("special_use").split()),
        auto=cast("Literal['no', 'create', 'subscribe']", block.str("auto")),
    )


def mail_root(config: DovecotConfig) -> str:
    """The directory that holds all mail: `hardmail_mail_root`, else what the paths of mail and homes begin with.

    Where only "/" would hold them all, it is the first path's directory: what lies elsewhere cannot be opened, and the
    log says so. Raises NoMailRoot when even that is "/".
    """
    try:
        own = config.str("hardmail_mail_root")
    except KeyError:
        own = ""
    if own:
        return posixpath.normpath(own)
    prefixes = [static_prefix(path) for path in _paths(config)] or sorted(set(_homes_in_files(config)))
    if not prefixes:  # nobody has a place for mail: log-ins are refused for their own reasons, nothing is stored
        return str(config.state_dir / "mail")
    common = posixpath.commonpath(prefixes)
    if common != "/":
        return common
    if prefixes[0] == "/":
        raise NoMailRoot("hardmail_mail_root is not set, and mail would lie anywhere under /")
    log.warning("mail lies under %s: only %s is the mail root", ", ".join(dict.fromkeys(prefixes)), prefixes[0])
    return prefixes[0]


def static_prefix(template: str) -> str:
    """The directory before the first variable."""
    path, percent, _ = template.partition("%")
    return posixpath.normpath(path.rpartition("/")[0] or "/" if percent else path)


def _paths(config: DovecotConfig) -> Iterator[str]:
    """Every absolute path template on which mail may lie."""
    locations = [config.str("mail_location"), *(block.str("location") for block in config.blocks("namespace"))]
    for location in locations:
        for part in location.split(":")[1:]:
            path = part.rpartition("=")[2]
            if path.startswith("/"):
                yield path
    if config.str("mail_home").startswith("/"):
        yield config.str("mail_home")
    for block in (*config.blocks("passdb"), *config.blocks("userdb")):
        yield from _homes(block)


def _homes(block: View) -> Iterator[str]:
    for setting in ("args", "default_fields", "override_fields"):
        for path in _HOME_FIELD.findall(block.str(setting)):
            path = path.partition(":")[2].partition(":")[0] or path if ":" in path else path
            if path.startswith("/"):
                yield path
    if block.str("driver") == "passwd" and block.node.kind == "userdb":
        yield _SYSTEM_HOMES


def _homes_in_files(config: DovecotConfig) -> Iterator[str]:
    """The parents of the home directories that passwd-files name, for one user each (sixth field)."""
    files = [block for kind in ("passdb", "userdb") for block in config.blocks(kind)]
    for name in [block.str("args").split()[-1] for block in files if block.str("driver") == "passwd-file"]:
        try:
            with Path(name).open("rb") as file:
                text = file.read(_PASSWD_FILE_LIMIT).decode("utf-8", "surrogateescape")
        except OSError:
            continue
        for line in text.splitlines():
            home = (line.split(":") + [""] * 6)[5]
            if home.startswith("/") and not line.startswith("#"):
                yield posixpath.dirname(home.rstrip("/").split("/./")[0]) or "/"
