"""Where a host looks names up: resolv.conf in all its shapes, and systemd-resolved as its own tool tells it."""

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import pytest

from isthmus.agent.adapters import resolver, tools
from isthmus.agent.adapters.resolver import LinuxResolver
from isthmus.agent.errors import ToolFailed
from isthmus.agent.observed import LinkNames
from isthmus.agent.settings import Dns
from isthmus.agent.state import ResolvConf

SERVERS = (ip_address("10.20.0.1"), ip_address("10.20.0.2"))
FOREIGN = b"# \xff\nsearch example.com\nnameserver 192.0.2.53"
INTERFACE = "lo"  # the one that is everywhere

# Keeps what it is told in the folder of systemd-resolved, by new files, and prints what resolvectl prints.
RESOLVECTL = """#!/bin/sh
set -eu
note={folder}/resolve/link
echo "$@" >>{folder}/calls
what=$1; link=$2; shift 2
case $what in
    revert) rm -f $note.* ;;
    *)
        if [ $# -gt 0 ]; then rm -f $note.$what; echo "$@" >$note.$what; exit; fi
        echo "Link 1 ($link): $(cat $note.$what 2>/dev/null | fmt -w 30)" ;;
esac
"""


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host of its own: nothing here reads or writes the files of the machine."""
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(resolver, "RESOLV_CONF", tmp_path / "resolv.conf")
    monkeypatch.setattr(resolver, "NSSWITCH", tmp_path / "nsswitch.conf")
    monkeypatch.setattr(resolver, "RESOLVED", tmp_path / "resolve")
    monkeypatch.setitem(tools.ENVIRONMENT, "PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    (tmp_path / "resolv.conf").write_bytes(FOREIGN)
    return tmp_path


def with_resolved(etc: Path) -> None:
    """systemd-resolved runs; whether programs ask it is another matter."""
    (etc / "resolve").mkdir()
    bind = "import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])"
    subprocess.run([sys.executable, "-c", bind, "io.systemd.Resolve"], cwd=etc / "resolve", check=True)
    (etc / "bin").mkdir()
    program = etc / "bin" / "resolvectl"
    program.write_text(RESOLVECTL.format(folder=etc))
    program.chmod(0o755)


def listed(host: LinuxResolver, earlier: ResolvConf | None = None) -> ResolvConf:
    former = host.before_listing(INTERFACE, earlier)
    host.list_servers(INTERFACE, SERVERS, former)
    return former


async def seen(host: LinuxResolver) -> tuple[object, ...]:
    return (await host.observe(INTERFACE)).listed


def a_file(etc: Path) -> Path:
    return etc / "resolv.conf"


def a_link(etc: Path) -> Path:
    a_file(etc).rename(etc / "run" / "stub.conf")
    a_file(etc).symlink_to("run/stub.conf")
    return etc / "run" / "stub.conf"


def a_dead_link(etc: Path) -> Path:
    a_file(etc).unlink()
    a_file(etc).symlink_to("run/none.conf")
    return etc / "run" / "none.conf"


def no_file(etc: Path) -> Path:
    a_file(etc).unlink()
    return a_file(etc)


@pytest.mark.parametrize("shape", [a_file, a_link, a_dead_link, no_file])
async def test_our_servers_come_first_and_go_without_a_trace(etc: Path, shape: Callable[[Path], Path]) -> None:
    real = shape(etc)
    before = picture(etc)
    host = LinuxResolver("resolv-conf")
    former = listed(host)
    assert await seen(host) == SERVERS
    content = real.read_bytes()
    assert content.endswith(FOREIGN if former.content is not None else b"# isthmus lo ends\n")
    nameservers = [line for line in content.splitlines() if line.startswith(b"nameserver")]
    assert nameservers[:2] == [b"nameserver 10.20.0.1", b"nameserver 10.20.0.2"]
    # A second time, as after a change of the servers, keeps what was there before us.
    assert listed(host, former) == former
    host.unlist_servers(INTERFACE, former)
    assert picture(etc) == before
    host.unlist_servers(INTERFACE, former)
    assert picture(etc) == before


def picture(etc: Path) -> dict[str, object]:
    """Every file with its content, mode and owner; links with what they lead to."""
    found: dict[str, object] = {}
    for path in sorted([*etc.glob("*.conf"), *etc.glob("run/*"), *etc.glob(".*"), *etc.glob("run/.*")]):
        status = path.lstat()
        content: object = path.readlink() if path.is_symlink() else path.read_bytes()
        found[str(path)] = (content, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
    return found


async def test_mode_and_owner_stay(etc: Path) -> None:
    a_file(etc).chmod(0o640)
    os.chown(a_file(etc), 65_534, 65_534)
    before = picture(etc)
    host = LinuxResolver("resolv-conf")
    former = listed(host)
    status = a_file(etc).stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o640, 65_534, 65_534)
    host.unlist_servers(INTERFACE, former)
    assert picture(etc) == before


async def test_what_others_write_stays_whether_or_not_our_lines_do(etc: Path) -> None:
    host = LinuxResolver("resolv-conf")
    former = listed(host)
    a_file(etc).write_bytes(a_file(etc).read_bytes() + b"\noptions rotate\n")
    host.unlist_servers(INTERFACE, former)
    assert a_file(etc).read_bytes() == FOREIGN + b"\noptions rotate\n"

    former = listed(host)
    a_file(etc).write_bytes(b"nameserver 192.0.2.99\n")
    assert await seen(host) == ()
    host.unlist_servers(INTERFACE, former)
    assert a_file(etc).read_bytes() == b"nameserver 192.0.2.99\n"


async def test_a_file_that_broke_off_in_the_middle_is_mended_from_what_was_kept(etc: Path) -> None:
    host = LinuxResolver("resolv-conf")
    former = listed(host)
    whole = a_file(etc).read_bytes()
    for length in (1 + whole.index(b"begins"), whole.index(b"# isthmus lo ends")):
        a_file(etc).write_bytes(whole[:length])
        assert await seen(host) == ()
        if b"# isthmus lo begins" in whole[:length]:
            assert host.before_listing(INTERFACE, former) == former
            host.unlist_servers(INTERFACE, former)
            assert a_file(etc).read_bytes() == FOREIGN


async def test_a_file_that_cannot_be_replaced_is_written_in_place(etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: object) -> None:
        raise OSError(errno.EBUSY, "as for a file that is mounted by itself, in a container")

    monkeypatch.setattr(Path, "replace", busy)
    before, inode = picture(etc), a_file(etc).stat().st_ino
    host = LinuxResolver("resolv-conf")
    former = listed(host)
    assert await seen(host) == SERVERS
    assert a_file(etc).read_bytes().endswith(FOREIGN)
    host.unlist_servers(INTERFACE, former)
    assert picture(etc) == before
    assert a_file(etc).stat().st_ino == inode


@pytest.mark.parametrize(
    ("wanted", "conf", "switch", "by"),
    [
        ("auto", b"nameserver 127.0.0.53\n", "hosts: files dns", "resolved"),
        ("auto", b"nameserver 192.0.2.53\n", "hosts: files dns", "resolv-conf"),
        ("auto", b"nameserver 192.0.2.53\n", "hosts: files resolve [!UNAVAIL=return] dns", "resolved"),
        ("auto", b"", "", "resolv-conf"),
        ("resolved", b"nameserver 192.0.2.53\n", "hosts: files dns", "resolved"),
        ("resolv-conf", b"nameserver 127.0.0.53\n", "hosts: files dns", "resolv-conf"),
        ("off", b"nameserver 127.0.0.53\n", "hosts: files dns", "off"),
    ],
)
async def test_systemd_resolved_is_told_where_programs_ask_it(
    etc: Path, wanted: Dns, conf: bytes, switch: str, by: str
) -> None:
    a_file(etc).write_bytes(conf)
    (etc / "nsswitch.conf").write_text(f"passwd: files\n{switch}\n")
    assert (await LinuxResolver("auto").observe(INTERFACE)).by == "resolv-conf"
    with_resolved(etc)
    assert (await LinuxResolver(wanted).observe(INTERFACE)).by == by


async def test_what_systemd_resolved_was_told_is_seen_and_taken_back(etc: Path) -> None:
    with_resolved(etc)
    host = LinuxResolver("resolved")
    assert (await host.observe(INTERFACE)).link == LinkNames()
    await host.ask_on_link(INTERFACE, SERVERS, ["office.internal", "20.10.in-addr.arpa"])
    told = LinkNames(SERVERS, frozenset({"office.internal", "20.10.in-addr.arpa"}))
    assert (await host.observe(INTERFACE)).link == told
    assert "~office.internal ~20.10.in-addr.arpa" in (etc / "calls").read_text()
    assert (await host.observe(INTERFACE)).link == told
    calls = (etc / "calls").read_text()
    assert (await host.observe(INTERFACE)).link == told
    assert (etc / "calls").read_text() == calls, "what did not change is not asked for again"
    await host.forget_link(INTERFACE)
    assert (await host.observe(INTERFACE)).link == LinkNames()
    assert a_file(etc).read_bytes() == FOREIGN


async def test_a_host_without_resolvectl_says_so_when_it_should_use_it(etc: Path) -> None:
    (etc / "resolve").mkdir()
    assert (await LinuxResolver("resolved").observe(INTERFACE)).link == LinkNames()
    with pytest.raises(ToolFailed, match="resolvectl is not installed"):
        await LinuxResolver("resolved").ask_on_link(INTERFACE, SERVERS, ["office.internal"])


def test_the_servers_of_the_host_itself_are_those_that_no_agent_put_there(etc: Path) -> None:
    host = LinuxResolver("resolv-conf")
    listed(host)
    former = host.before_listing("ist-lab", None)
    host.list_servers("ist-lab", [ip_address("10.30.0.1")], former)
    assert resolver.own_servers() == (ip_address("192.0.2.53"),)
