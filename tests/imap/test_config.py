"""What the IMAP room reads out of dovecot.conf: mail root, locations, namespaces, special-use mailboxes."""

from pathlib import Path

import pytest

from auth.dovecotconf import DovecotConfig
from imap.config import MailSettings, NoMailRoot
from imap.store import MailRoot, StoreError


def settings(tmp_path: Path, text: str) -> MailSettings:
    path = tmp_path / "dovecot.conf"
    path.write_text("protocols = imap\n" + text)
    return MailSettings.from_config(DovecotConfig.load(path).protocol("imap"))


STATIC = "userdb {{\n driver = static\n args = uid=8 gid=8 home={}\n}}\n"


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ("mail_location = maildir:/srv/vmail/%d/%n\n", "/srv/vmail"),
        ("mail_location = maildir:~/Maildir\n" + STATIC.format("/srv/vmail/%u"), "/srv/vmail"),
        ("mail_location = maildir:~/Maildir\n" + STATIC.format("/srv/vmail/%d/%n"), "/srv/vmail"),
        ("mail_location = maildir:~/Maildir\n" + STATIC.format("/srv/u-%u/x"), "/srv"),
        ("mail_location = maildir:~/Maildir\nmail_home = /srv/vmail/%n\n", "/srv/vmail"),
        ("mail_location = maildir:/srv/m/%u:INDEX=/srv/i/%u\n", "/srv"),
        ("mail_location = maildir:~/Maildir\nuserdb {\n driver = passwd\n}\n", "/home"),
        ("mail_location = maildir:/a/%u:INDEX=/b/%u\n", "/a"),  # the nearest to what was meant
        (
            "passdb {\n driver = sql\n args = /x\n}\nuserdb {\n driver = prefetch\n}\n"
            "userdb {\n driver = static\n args = uid=8\n default_fields = home=/srv/d/%u\n}\n",
            "/srv/d",
        ),
        ("mail_location = maildir:/srv/vmail/%u\nhardmail_mail_root = /srv/other/\n", "/srv/other"),
    ],
)
def test_mail_root(tmp_path: Path, text: str, root: str) -> None:
    assert settings(tmp_path, text).mail_root == Path(root)


def test_mail_root_from_a_passwd_file(tmp_path: Path) -> None:
    (tmp_path / "users").write_text("a:{PLAIN}x:8:8::/srv/v/a::\n#b:x:8:8::/etc/b::\nb:x:8:8::/srv/v/b/./mail::\n")
    text = f"userdb {{\n driver = passwd-file\n args = username_format=%n {tmp_path}/users\n}}\n"
    assert settings(tmp_path, text).mail_root == Path("/srv/v")


def test_nobody_has_a_place_for_mail(tmp_path: Path) -> None:
    assert settings(tmp_path, f"state_dir = {tmp_path}/state\n").mail_root == tmp_path / "state/mail"


@pytest.mark.parametrize("text", ["mail_location = maildir:/%u\n"])
def test_no_mail_root(tmp_path: Path, text: str) -> None:
    with pytest.raises(NoMailRoot):
        settings(tmp_path, text)


def test_variables(tmp_path: Path) -> None:
    root = MailRoot.open(tmp_path)
    text = f"mail_location = maildir:{tmp_path}/%d/%1n/%Ln:INDEX=%h/idx\n" + STATIC.format(f"{tmp_path}/home/%u")
    store = settings(tmp_path, text).user_store(root, "Ann@x.example", {"home": f"{tmp_path}/home/ann"})
    store.create("box")
    store.close()
    root.close()
    assert (tmp_path / "x.example" / "A" / "ann" / ".box" / "cur").is_dir()
    assert (tmp_path / "home" / "ann" / "idx" / "hardmail.index").exists()


def test_the_userdbs_mail_field_wins(tmp_path: Path) -> None:
    root = MailRoot.open(tmp_path)
    mail = settings(tmp_path, f"mail_location = maildir:~/Maildir\nmail_home = {tmp_path}/%u\n")
    with mail.user_store(root, "ann", {"mail": "maildir:~/Other"}) as store:
        store.create("INBOX")
    root.close()
    assert (tmp_path / "ann" / "Other" / "cur").is_dir()


@pytest.mark.parametrize("user", ["../x", "a/b", "..", ".", "x\0", "../../etc@d", "a@../x", "/etc"])
def test_no_user_name_is_a_path(tmp_path: Path, user: str) -> None:
    root = MailRoot.open(tmp_path)
    mail = settings(tmp_path, f"mail_location = maildir:{tmp_path}/%d/%n/Maildir\n")
    with pytest.raises(StoreError):
        mail.user_store(root, user, {})
    root.close()


@pytest.mark.parametrize("home", ["/etc", "relative", "", "/srv/../etc"])
def test_no_home_outside(tmp_path: Path, home: str) -> None:
    root = MailRoot.open(tmp_path)
    mail = settings(tmp_path, f"mail_location = maildir:~/Maildir\nhardmail_mail_root = {tmp_path}\n")
    with pytest.raises(StoreError):
        mail.user_store(root, "ann", {"home": home})
    root.close()


def test_namespaces_and_special_mailboxes(tmp_path: Path) -> None:
    text = f"""
mail_location = maildir:~/Maildir
mail_home = {tmp_path}/%u
namespace inbox {{
  inbox = yes
  separator = /
  mailbox "Sent Messages" {{
    special_use = \\Sent
    auto = create
  }}
}}
namespace archive {{
  prefix = Archive/
  separator = /
  location = maildir:~/Archive
  list = children
}}
namespace off {{
  disabled = yes
  prefix = Off/
}}
"""
    root = MailRoot.open(tmp_path)
    with settings(tmp_path, text).user_store(root, "ann", {}) as store:
        assert [(info.prefix, info.inbox, info.listed) for info in store.namespaces] == [
            ("", True, "yes"),
            ("Archive/", False, "children"),
        ]
        store.create("a/b")
        store.create("Archive/2024/x")
        assert [(info.name, info.selectable, info.special_use) for info in store.list_mailboxes()] == [
            ("INBOX", True, ()),
            ("Archive", False, ()),
            ("Archive/2024", False, ()),
            ("Archive/2024/x", True, ()),
            ("Sent Messages", True, ("\\Sent",)),
            ("a", False, ()),
            ("a/b", True, ()),
        ]
    root.close()
    assert (tmp_path / "ann" / "Maildir" / ".a.b").is_dir()
    assert (tmp_path / "ann" / "Archive" / ".2024.x").is_dir()
