"""From configuration directories to services: listeners, overrides, users, and every error at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab import plan
from lab.errors import PlanError
from lab.supervisor.listeners import InetListener, UnixListener
from lab.supervisor.service import Plan, Service

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes users")

MASTER = """\
smtp      inet  n       -       n       -       -       smtpd
qmgr      unix  n       -       n       300     1       qmgr
"""

DOVECOT = """\
protocols = imap pop3 lmtp
listen = 127.0.0.1
base_dir = {base}/run
state_dir = {base}/state
mail_location = maildir:{base}/mail/%u
ssl = no
passdb {{
  driver = passwd-file
  args = {base}/users
}}
"""


@pytest.fixture
def confdir(tmp_path: Path) -> Path:
    """A directory that stands for CONFDIR, one level below tmp_path."""
    path = tmp_path / "conf"
    path.mkdir()
    return path


@pytest.fixture(autouse=True)
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the number of workers is left open, it is two."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


def write_postfix(confdir: Path, main: str = "", master: str = MASTER) -> Path:
    """A main.cf with its directories below tmp_path, and a master.cf."""
    base = confdir.parent
    settings = f"compatibility_level = 3.6\nqueue_directory = {base}/queue\ndata_directory = {base}/data\n"
    (confdir / "main.cf").write_text(settings + main)
    (confdir / "master.cf").write_text(master)
    return confdir


def write_dovecot(confdir: Path, text: str = "") -> Path:
    """A dovecot.conf with its directories below tmp_path."""
    (confdir / "dovecot.conf").write_text(DOVECOT.format(base=confdir.parent) + text)
    return confdir


def by_name(found: Plan) -> dict[str, Service]:
    """The services by name."""
    return {service.name: service for service in found.services}


def inet(service: Service) -> list[tuple[str, int]]:
    """Host and port of the TCP listeners."""
    return [(item.host, item.port) for item in service.listeners if isinstance(item, InetListener)]


def errors(confdir: Path) -> list[str]:
    """The lines of the PlanError that the directory deserves."""
    with pytest.raises(PlanError) as caught:
        plan.load(confdir)
    return [line.replace(str(confdir), "CONF") for line in caught.value.lines]


# Where smtpd listens: inet_interfaces, inet_protocols and the first column of master.cf, as master(8) reads them.
@pytest.mark.parametrize(
    ("main", "name", "expected"),
    [
        ("inet_interfaces = all\ninet_protocols = ipv4", "2525", [("0.0.0.0", 2525)]),
        (
            "inet_interfaces = 127.0.0.1, 127.0.0.2\ninet_protocols = ipv4",
            "2525",
            [("127.0.0.1", 2525), ("127.0.0.2", 2525)],
        ),
        ("inet_interfaces = localhost\ninet_protocols = ipv4", "2525", [("127.0.0.1", 2525)]),
        ("inet_interfaces = loopback-only\ninet_protocols = ipv4", "smtp", [("127.0.0.1", 25)]),
        ("inet_interfaces = 127.0.0.1", "submission", [("127.0.0.1", 587)]),
        ("inet_interfaces = 127.0.0.1", "submissions", [("127.0.0.1", 465)]),
        ("inet_interfaces = 127.0.0.1", "smtps", [("127.0.0.1", 465)]),
        ("inet_interfaces = all", "127.0.0.7:2525", [("127.0.0.7", 2525)]),
        ("inet_interfaces = all", "[::1]:2525", [("::1", 2525)]),
        ("inet_interfaces = 127.0.0.1", ":2525", [("127.0.0.1", 2525)]),
        ("inet_interfaces = all\ninet_protocols = ipv4", "localhost:2525", [("127.0.0.1", 2525)]),
    ],
)
def test_smtpd_listens_where_postfix_would(
    confdir: Path, main: str, name: str, expected: list[tuple[str, int]]
) -> None:
    write_postfix(confdir, main, MASTER.replace("smtp ", f"{name} ", 1))
    assert inet(by_name(plan.load(confdir))["smtpd"]) == expected


def test_loopback_only_means_both_families(confdir: Path) -> None:
    write_postfix(confdir, "inet_interfaces = loopback-only\ninet_protocols = all")
    assert inet(by_name(plan.load(confdir))["smtpd"]) == [("127.0.0.1", 25), ("::1", 25)]


def test_chroot_leaves_the_queue_directory_alone(confdir: Path) -> None:
    """And the interpreter, and what names are looked up with; tables are opened before."""
    table = confdir / "clients"
    table.write_text("a.example REJECT\n")
    main = f"smtpd_client_restrictions = check_client_access hash:{table}"
    master = "127.0.0.1:2525 inet n - y - 1 smtpd\n127.0.0.1:2526 inet n - n - 1 smtpd\nqmgr unix n - y 300 1 qmgr\n"
    services = by_name(plan.load(write_postfix(confdir, main, master)))
    assert list(services) == ["smtpd", "smtpd(127.0.0.1:2526)", "qmgr"]
    free = services["smtpd(127.0.0.1:2526)"].rules
    for rules in (services["smtpd"].rules, services["qmgr"].rules):
        assert {path.name for path in rules.write} == {"queue"}
        assert {confdir, table} & set(rules.read) == set()
        assert set(rules.read) < set(free.read)
    assert {confdir, table} <= set(free.read)
    assert len(free.write) == 2


def test_lines_with_overrides_are_services_of_their_own(confdir: Path) -> None:
    master = (
        "127.0.0.1:2525 inet n - n - 1 smtpd\n"
        "127.0.0.1:2526 inet n - n - 1 smtpd\n"
        "127.0.0.1:2587 inet n - n - 3 smtpd\n"
        "  -o smtpd_tls_security_level=encrypt\n  -o syslog_name=postfix/submission -o hardmail_smtpd_processes=2\n"
        "127.0.0.1:2465 inet n - n - 1 smtpd -o smtpd_tls_wrappermode=yes\n"
    )
    services = by_name(plan.load(write_postfix(confdir, "", master)))
    assert list(services) == ["smtpd", "smtpd(127.0.0.1:2587)", "smtpd(127.0.0.1:2465)"]
    assert [port for _, port in inet(services["smtpd"])] == [2525, 2526]
    submission = services["smtpd(127.0.0.1:2587)"]
    assert submission.config.str("smtpd_tls_security_level") == "encrypt"  # type: ignore[attr-defined]
    assert submission.log.postfix_name == "postfix/submission"
    assert [item.tag for item in submission.listeners] == ["smtp", "anvil"]  # the first with several processes counts
    assert [item.tag for item in services["smtpd(127.0.0.1:2465)"].listeners] == ["smtps"]


def test_maxproc_is_sessions_and_processes_are_one_less_than_processors(
    confdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))
    for column, processes, sessions in (("-", 3, "100"), ("0", 3, "0"), ("1", 1, "1"), ("2", 2, "2"), ("50", 3, "50")):
        write_postfix(confdir, "", f"127.0.0.1:2525 inet n - n - {column} smtpd\n")
        smtpd = by_name(plan.load(confdir))["smtpd"]
        assert (smtpd.workers, smtpd.listeners[0].options["sessions"]) == (processes, sessions)
    write_postfix(confdir, "hardmail_smtpd_processes = 5", "127.0.0.1:2525 inet n - n - - smtpd\n")
    assert by_name(plan.load(confdir))["smtpd"].workers == 5


def test_postscreen_has_the_sessions_of_the_smtpd_behind_it(confdir: Path) -> None:
    lines = "127.0.0.1:2525 inet n - n - 1 postscreen\nsmtpd pass - - n - 7 smtpd\n"
    listener, *_ = by_name(plan.load(write_postfix(confdir, "", lines)))["smtpd"].listeners
    assert listener.options["sessions"] == "7"


def test_one_queue_manager_stands_for_the_rest_of_master_cf(confdir: Path) -> None:
    found = plan.load(write_postfix(confdir, "", MASTER + "cleanup unix n - n - 0 cleanup\nsmtp unix - - n - - smtp\n"))
    assert [service.name for service in found.services] == ["smtpd", "qmgr"]
    queue = by_name(found)["qmgr"]
    assert queue.exclusive
    (control,) = queue.listeners
    assert isinstance(control, UnixListener)
    assert (control.path, control.mode, control.datagram) == (confdir.parent / "queue/public/qmgr", 0o600, True)


def test_foreign_programs_in_master_cf_are_told(confdir: Path) -> None:
    found = plan.load(
        write_postfix(confdir, "", MASTER + "policy unix - n n - 0 spawn user=nobody argv=/bin/policyd\n")
    )
    assert [w.replace(str(confdir), "CONF") for w in found.warnings()] == [
        "CONF/master.cf, line 3: spawn is not part of hardmail; the line is ignored"
    ]


def test_every_error_of_every_file_at_once(confdir: Path) -> None:
    write_postfix(confdir, "smtpd_tls_auth_only = perhaps\n= 3\n", "smtp inet n - n - - smtpd\nbroken line\n")
    write_dovecot(confdir, "no_such_setting = 1\n")
    found = errors(confdir)
    assert [line.partition(":")[0] for line in found] == [
        "CONF/main.cf, line 5",
        "CONF/master.cf, line 2",
        "Error in configuration file CONF/dovecot.conf line 11",
    ]


def test_queue_of_a_real_postfix_is_left_alone(confdir: Path) -> None:
    write_postfix(confdir)
    for name in ("active", "deferred", "incoming"):
        (confdir.parent / "queue" / name).mkdir(parents=True)
    (line,) = errors(confdir)
    assert line.startswith("CONF/main.cf, line 2: queue_directory: ")
    assert "another mail system" in line


def test_empty_directory_says_what_is_missing(confdir: Path) -> None:
    assert errors(confdir) == ["CONF: neither main.cf nor dovecot.conf is there"]


def test_nothing_to_run_is_an_error(confdir: Path) -> None:
    assert "no service is configured" in errors(write_postfix(confdir, "", ""))[0]


def test_unknown_port_name(confdir: Path) -> None:
    write_postfix(confdir, "", "no-such-port inet n - n - - smtpd\n")
    assert errors(confdir) == ["CONF/master.cf, line 1: unknown service: no-such-port; write a port number"]


def test_switched_off_address_family(confdir: Path) -> None:
    write_postfix(confdir, "inet_protocols = ipv4\n", "[::1]:25 inet n - n - - smtpd\n")
    assert errors(confdir) == ["CONF/master.cf, line 1: ::1: inet_protocols switches its address family off"]


def test_the_same_port_twice(confdir: Path) -> None:
    write_postfix(
        confdir, "", "127.0.0.1:25 inet n - n - - smtpd\n127.0.0.1:25 inet n - n - - smtpd -o verp_delimiter_filter=+\n"
    )
    assert errors(confdir) == ["CONF: 127.0.0.1:25 is asked for by smtpd and by smtpd(127.0.0.1:25)"]


def test_dovecot_protocols_are_services(confdir: Path) -> None:
    write_dovecot(
        confdir,
        "service imap-login {\n inet_listener imap {\n port = 2143\n }\n inet_listener imaps {\n port = 0\n }\n}\n",
    )
    services = by_name(plan.load(confdir))
    assert list(services) == ["auth", "imap", "pop3", "lmtp"]
    assert inet(services["imap"]) == [("127.0.0.1", 2143)]
    assert [item.tag for item in services["pop3"].listeners] == ["pop3", "pop3s"]
    sockets = {item.path.name: item for item in services["auth"].listeners if isinstance(item, UnixListener)}
    assert sockets["auth-userdb"].path == confdir.parent / "run/auth-userdb"
    assert services["auth"].outlives


def test_mechanism_that_nobody_can_serve_is_told_before_anything_starts(confdir: Path) -> None:
    write_dovecot(confdir, "auth_mechanisms = plain no-such-mechanism\n")
    assert any("NO-SUCH-MECHANISM" in line.upper() for line in errors(confdir))


def test_authentication_alone(confdir: Path) -> None:
    write_dovecot(confdir, "protocols = none\n")
    assert [service.name for service in plan.load(confdir).services] == ["auth"]


@pytest.mark.parametrize(
    ("main", "everywhere"),
    [
        ("", False),
        ("smtpd_proxy_filter = 127.0.0.1:10025", True),
        ("smtpd_proxy_filter = unix:filter/socket", False),
        ("smtpd_milters = inet:127.0.0.1:10025", True),
    ],
)
def test_smtpd_reaches_its_filters(confdir: Path, main: str, everywhere: bool) -> None:
    services = by_name(plan.load(write_postfix(confdir, main)))
    assert (services["smtpd"].rules.connect is True) == everywhere


def test_processes_may_write_only_their_own(confdir: Path) -> None:
    write_dovecot(write_postfix(confdir))
    services = by_name(plan.load(confdir))
    base = confdir.parent
    assert services["smtpd"].rules.write == (base / "queue", base / "data")
    assert services["imap"].rules.write == (base / "mail",)
    assert services["imap"].rules.connect is False
    readable = {str(path) for service in services.values() for path in service.rules.read}
    assert "/etc" not in readable
    assert "/etc/passwd" not in {str(path) for path in services["imap"].rules.read}


def test_named_tables_are_readable(confdir: Path, tmp_path: Path) -> None:
    table = tmp_path / "elsewhere" / "access"
    table.parent.mkdir()
    table.write_text("x OK\n")
    write_postfix(confdir, f"smtpd_client_restrictions = check_client_access hash:{table}, permit\n")
    assert table in by_name(plan.load(confdir))["smtpd"].rules.read


@ROOT_ONLY
def test_default_users_and_their_stand_ins(confdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    known = pwd.getpwnam

    def poor(name: str) -> object:
        if name in ("postfix", "dovecot", "dovenull", "vmail"):
            raise KeyError(name)
        return known(name)

    monkeypatch.setattr(pwd, "getpwnam", poor)
    services = by_name(plan.load(write_dovecot(write_postfix(confdir))))
    users = {name: service.identity.name for name, service in services.items() if service.identity}
    assert users == {
        "smtpd": "nobody",
        "qmgr": "nobody",
        "auth": "daemon",
        "imap": "mail",
        "pop3": "mail",
        "lmtp": "mail",
    }


@ROOT_ONLY
def test_explicit_unknown_users_are_errors(confdir: Path) -> None:
    write_postfix(confdir, "mail_owner = no-such-user\n")
    listener = confdir.parent / "sock"
    write_dovecot(
        confdir, f"service auth {{\n unix_listener {listener} {{\n user = nobody-here\n mode = 0600\n }}\n}}\n"
    )
    found = errors(confdir)
    assert "mail_owner = no-such-user: no such user on this machine" in found
    assert any("nobody-here" in line for line in found)


@ROOT_ONLY
def test_mail_belongs_to_the_user_that_the_userdb_names(confdir: Path) -> None:
    write_dovecot(confdir, f"userdb {{\n driver = static\n args = uid=8 gid=8 home={confdir.parent}/mail/%u\n}}\n")
    identity = by_name(plan.load(confdir))["imap"].identity
    assert identity is not None
    assert (identity.uid, identity.gid) == (8, 8)


@ROOT_ONLY
def test_mail_is_never_handled_as_root(confdir: Path) -> None:
    write_dovecot(confdir, "mail_uid = 0\nmail_gid = 0\n")
    found = plan.load(confdir)
    identity = by_name(found)["imap"].identity
    assert identity is not None
    assert identity.uid != 0
    assert any("root" in warning for warning in found.warnings())


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        ("listen = 192.0.2.1\n", True),
        ("listen = 127.0.0.1\n", False),
        ("listen = 127.0.0.1\nhardmail_default_passwords = refuse\n", True),
        ("listen = 192.0.2.1\nhardmail_default_passwords = allow\n", False),
        ("listen = 192.0.2.1\nprotocols =\n", False),
    ],
)
def test_a_well_known_password_keeps_what_strangers_can_reach_from_starting(
    confdir: Path, settings: str, refused: bool
) -> None:
    (confdir / "users").write_text("alice:{PLAIN}k3Jx-92mQ-vv\nbob:{PLAIN}changeme\n")
    block = f"passdb {{\n  driver = passwd-file\n  args = {confdir}/users\n}}\n"
    write_dovecot(confdir, f"protocols = imap\n{settings}{block}")
    if refused:
        assert errors(confdir) == [
            "CONF/users: user bob has a well-known password; change it, or set hardmail_default_passwords = allow"
        ]
    else:
        plan.load(confdir)
