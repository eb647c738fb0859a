"""Starting: settings and certificates with a fault, sockets of a former life, and two at once."""

import signal
import socket
import stat
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from isthmus.federator.settings import SettingsRefused, load
from isthmus.protocol import ingress
from isthmus.protocol.places import Places
from lab.waiting import wait_until
from tests.federator.abroad import Ingress, a_server_leaf
from tests.federator.organisations import Organisation, now
from tests.federator.process import COMMAND, environment
from tests.federator.stage import Stage, UnixConnection, unchanged
from tests.x509.forge import Forged

B = Organisation("b")
DEADLINE = 30


def write(folder: Path, leaf: Forged = B.leaf) -> Places:
    places = Places(folder)
    places.federator_pair.mkdir(parents=True)
    (places.federator_pair / "chain.pem").write_bytes(leaf.pem)
    (places.federator_pair / "key.pem").write_bytes(leaf.key_pem)
    return places


def refusal(folder: Path, settings: dict[str, str], *arguments: str) -> str:
    """The one message of a start that fails; nothing may be listening then."""
    done = subprocess.run(
        [COMMAND, "federator", *arguments],
        env=environment({"data_dir": str(folder)} | settings),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("isthmus federator: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(Places(folder).run.glob("*.sock"))
    return done.stderr


def no_certificate(places: Places) -> None:
    (places.federator_pair / "chain.pem").unlink()


def no_key(places: Places) -> None:
    (places.federator_pair / "key.pem").unlink()


def unreadable(places: Places) -> None:
    # A folder where a file should be is unreadable to root as well.
    no_certificate(places)
    (places.federator_pair / "chain.pem").mkdir()


def not_a_certificate(places: Places) -> None:
    (places.federator_pair / "chain.pem").write_text("hello")


def not_a_key(places: Places) -> None:
    (places.federator_pair / "key.pem").write_text("hello")


def key_of_another(places: Places) -> None:
    (places.federator_pair / "key.pem").write_bytes(B.a_leaf().key_pem)


def put(**fields: Any) -> Callable[[Places], None]:
    def change(places: Places) -> None:
        leaf = B.a_leaf(**fields)
        (places.federator_pair / "chain.pem").write_bytes(leaf.pem)
        (places.federator_pair / "key.pem").write_bytes(leaf.key_pem)

    return change


FAULTS: list[tuple[Callable[[Places], None], str, str]] = [
    (no_certificate, "chain.pem", "no certificate file"),
    (no_key, "key.pem", "no key file"),
    (unreadable, "chain.pem", "cannot be read"),
    (not_a_certificate, "chain.pem", "no certificate in PEM"),
    (not_a_key, "key.pem", "no private key in PEM"),
    (key_of_another, "key.pem", "key of another certificate"),
    (put(starts=now() - timedelta(days=2), ends=now() - timedelta(seconds=5)), "chain.pem", "expired"),
    (put(starts=now() + timedelta(hours=1)), "chain.pem", "not valid before"),
    (put(usages=None), "chain.pem", "clientAuth"),
    (put(names=None), "chain.pem", "no DNS name"),
    (put(names=("infra.x.example",)), "chain.pem", "is not for infra.b.example"),
]


@pytest.mark.case("OPS-002")
def test_each_fault_of_the_certificate_refuses_the_start_in_its_own_words(tmp_path: Path) -> None:
    def message(number: int) -> str:
        folder = tmp_path / str(number)
        FAULTS[number][0](write(folder))
        return refusal(folder, {"infra_domain": "infra.b.example"}).replace(str(folder), "")

    with ThreadPoolExecutor(4) as pool:
        messages = list(pool.map(message, range(len(FAULTS))))
    for (_, file, words), said in zip(FAULTS, messages, strict=True):
        assert file in said
        assert words in said
    assert len(set(messages)) == len(FAULTS)


@contextmanager
def ingress_of_a(stage: Stage) -> Iterator[Ingress]:
    """A TLS server that a.example is reached at."""
    leaf = a_server_leaf(stage.a.ca, stage.a.infra, stage.a.domain)
    found = Ingress(leaf, stage.b.ca)
    running = found.running()
    stage.around.background.run(running.__aenter__())
    stage.around.say("_isthmus-federator._tcp.a.example SRV", f"60 SRV 0 0 {found.port} {stage.a.infra}.")
    stage.around.say(f"{stage.a.infra} A", "60 A 127.0.0.1")
    stage.relist(stage.a.entry(), ports=[found.port])
    yield found
    stage.around.background.run(running.__aexit__(None, None, None))


def call_a(stage: Stage) -> int:
    connection = UnixConnection(stage.places.outward)
    try:
        connection.request(
            "POST", "/rpc/a.example/directory/get-user-by-handle", b"{}", {"Content-Type": "application/json"}
        )
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


@pytest.mark.case("SEED-018")
def test_it_keeps_a_client_certificate_for_its_infra_domain_and_does_not_start_without(
    own: Stage, tmp_path: Path
) -> None:
    chain, key = tmp_path / "our-chain.pem", tmp_path / "our-key.pem"
    settings = {"certificate": str(chain), "key": str(key), "infra_domain": "infra.b.example"}

    def put_pair(leaf: Forged) -> None:
        chain.write_bytes(leaf.pem)
        key.write_bytes(leaf.key_pem)

    put_pair(own.b.leaf)
    own.settings |= settings | {"allowed_private": "127.0.0.0/8"}
    own.start()
    with ingress_of_a(own) as ingress:
        assert call_a(own) == 200
        assert ingress.shown == [own.b.leaf.der]
        # What replaces it is presented by the next session.
        put_pair(newer := own.b.a_leaf())
        in_use(own, newer)
        assert call_a(own) == 200
        assert ingress.shown[-1] == newer.der
    folder = tmp_path / "other"
    put_pair(own.b.a_leaf(usages=None))
    assert f"{chain}: the certificate lacks the extended key usage clientAuth" in refusal(folder, settings)
    put_pair(own.b.a_leaf(names=("infra.x.example",)))
    assert f"{chain}: the certificate is not for infra.b.example" in refusal(folder, settings)
    key.unlink()
    assert f"{key}: there is no key file" in refusal(folder, settings)


MISTAKES = [
    ('log_levl = "info"\n', {}, ["settings.toml", "log_levl", "log_level"]),
    ("call_seconds = true\n", {}, ["settings.toml", "call_seconds"]),
    ("call_seconds = 0\n", {}, ["settings.toml", "call_seconds"]),
    ('resolvers = ["nonsense"]\n', {}, ["resolvers", "nonsense", "such as"]),
    ('certificate = "/x/chain.pem"\n', {}, ["certificate", "key", "both"]),
    ('ingress_user = "nobody-of-that-name"\n', {}, ["ingress_user", "nobody-of-that-name"]),
    ('infra_domain = "no domain"\n', {}, ["infra_domain", "infra.example.com"]),
    ("log_level = \n", {}, ["settings.toml", "TOML"]),
    ("", {"CALL_SECOND": "3"}, ["environment", "ISTHMUS_FEDERATOR_CALL_SECOND", "call_seconds"]),
    ("", {"log_level": "loud"}, ["environment", "ISTHMUS_FEDERATOR_LOG_LEVEL"]),
]


@pytest.mark.parametrize(("text", "variables", "words"), MISTAKES)
def test_a_mistake_in_the_settings_is_told_by_key_place_and_remedy(
    tmp_path: Path, text: str, variables: dict[str, str], words: list[str]
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(SettingsRefused) as refused:
        load(file, {}, {f"ISTHMUS_FEDERATOR_{name.upper()}": value for name, value in variables.items()})
    for word in words:
        assert word in str(refused.value)


def test_a_mistake_in_the_settings_refuses_the_start(tmp_path: Path) -> None:
    write(tmp_path / "data")
    file = tmp_path / "settings.toml"
    file.write_text('log_levl = "info"\n')
    message = refusal(tmp_path / "data", {}, "--config", str(file))
    assert all(word in message for word in (str(file), "log_levl", "did you mean log_level?"))


def test_a_file_of_settings_that_is_missing_is_told(tmp_path: Path) -> None:
    write(tmp_path / "data")
    assert "nothing.toml" in refusal(tmp_path / "data", {}, "--config", str(tmp_path / "nothing.toml"))


def test_the_sockets_are_for_their_users_alone_and_go_when_it_ends(own: Stage) -> None:
    own.start()
    run = own.places.run
    assert stat.S_IMODE(run.stat().st_mode) == 0o700
    for path in (own.places.inward, own.places.outward, own.places.refusals):
        assert stat.S_ISSOCK(path.stat().st_mode)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert own.federator.stop() == 0
    assert not own.places.inward.exists()


def test_sockets_of_a_federator_that_was_killed_are_taken_over(own: Stage) -> None:
    own.start()
    own.federator.stop(signal.SIGKILL)
    assert own.places.inward.exists()
    own.federator.start()
    own.wait_for_snapshot()
    assert own.ask(own.a).status == 200


def test_a_second_federator_on_the_same_folder_is_refused(own: Stage) -> None:
    own.start()
    done = subprocess.run(
        [COMMAND, "federator"],
        env=environment({"data_dir": str(own.data)}),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 1
    assert "already running" in done.stderr
    assert own.ask(own.a).status == 200


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    places = write(tmp_path / "data")
    places.run.mkdir()
    places.run.chmod(0o777)
    assert "others may write" in refusal(tmp_path / "data", {})


PERFECT = """
    import socket, sys
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10)
    try:
        sock.connect(sys.argv[1])
    except OSError as error:
        print("refused", type(error).__name__)
        sys.exit()
    sock.sendall(sys.stdin.buffer.read())
    print(sock.recv(65536).decode())
"""

ELSEWHERE = {
    "another user": ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"],
    "another network namespace": ["unshare", "--net"],
    "another container": ["unshare", "--mount", "--net", "--pid", "--fork"],
}


def request_of(stage: Stage, secret: str | None, path: str) -> bytes:
    given: dict[str, Any] = {} if secret == "right" else {ingress.SECRET: secret}
    headers = stage.headers(stage.a, **given)
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Content-Length: 2", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", "{}"]).encode()


def from_elsewhere(stage: Stage, where: list[str], request: bytes, *, hidden: bool = False) -> str:
    program = textwrap.dedent(PERFECT)
    # Another container has files of its own.
    hide = ["sh", "-c", f'mount -t tmpfs none {stage.data} && exec "$@"', "sh"] if hidden else []
    command = [*where, *hide, "/usr/bin/python3", "-c", program, str(stage.places.inward)]
    done = subprocess.run(command, input=request, capture_output=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


@pytest.mark.case("HDR-006")
@pytest.mark.parametrize("where", ELSEWHERE)
def test_the_inward_socket_is_closed_to_others(own: Stage, where: str) -> None:
    own.start()
    path = "/federation/directory/get-user-by-handle"
    with unchanged(own):
        for secret in (None, "0" * 64):
            before = own.settled()
            said = from_elsewhere(
                own, ELSEWHERE[where], request_of(own, secret, path), hidden=where == "another container"
            )
            new = [row for id_, row in own.settled().items() if id_ not in before]
            if said.startswith("refused"):
                assert not new
            else:
                assert " 403 " in said
                assert "ingress_untrusted" in said
                assert [row.reason for row in new] == ["listener_secret"]
        # Where the file system would let another user through, the socket asks the kernel who it is.
        if where == "another user":
            open_to_all(own)
            for secret in (None, "0" * 64, "right"):
                before = own.settled()
                said = from_elsewhere(own, ELSEWHERE[where], request_of(own, secret, path))
                assert "ingress_untrusted" in said
                new = [row for id_, row in own.settled().items() if id_ not in before]
                assert [(row.reason, row.facts["user"]) for row in new] == [("socket_user", 65534)]
    assert own.ask(own.a).status == 200


def open_to_all(stage: Stage) -> None:
    for folder in (stage.places.run, stage.data, *stage.data.parents):
        if str(folder).startswith("/tmp/"):  # noqa: S108  # pytest's own folder
            folder.chmod(0o711)
    stage.places.inward.chmod(0o666)
    stage.places.outward.chmod(0o666)


def test_the_ingress_may_be_another_user(own: Stage) -> None:
    own.settings["ingress_user"] = "65534"
    own.start()
    open_to_all(own)
    path = "/federation/directory/get-user-by-handle"
    said = from_elsewhere(own, ELSEWHERE["another user"], request_of(own, "right", path))
    assert " 200 " in said
    answer = own.ask(own.a)
    assert (answer.status, answer.code) == (403, "ingress_untrusted")


def test_certificates_are_taken_up_however_the_files_change(own: Stage) -> None:
    own.start()
    folder = own.places.federator_pair
    other = own.b.a_leaf()
    own.write_pair(other)
    in_use(own, other)
    # Replaced one after the other, with a pause in which they do not belong together.
    third = own.b.a_leaf()
    replace(folder / "key.pem", third.key_pem)
    time.sleep(1.2)
    replace(folder / "chain.pem", third.pem)
    in_use(own, third)
    assert "last good one stays" not in own.federator.log
    # Swapped by a symlink, as the server does.
    fourth = own.b.a_leaf()
    (folder.parent / "4").mkdir()
    (folder.parent / "4" / "chain.pem").write_bytes(fourth.pem)
    (folder.parent / "4" / "key.pem").write_bytes(fourth.key_pem)
    folder.rename(folder.parent / "3")
    folder.symlink_to("4")
    in_use(own, fourth)
    # Rubbish, and halves of two pairs: the last good pair stays, and an alarm says so.
    (folder / "chain.pem").write_text("rubbish")
    alarm(own, "no certificate in PEM")
    (folder / "chain.pem").write_bytes(third.pem)
    alarm(own, "key of another certificate")
    assert own.federator.ask("/health/ready")[0] == 200
    (folder / "chain.pem").write_bytes(fourth.pem)
    wait_until(lambda: not own.federator.ask("/health/ready")[1]["alarms"], within=5, what="the alarm to end")


def replace(path: Path, content: bytes) -> None:
    draft = path.with_suffix(".new")
    draft.write_bytes(content)
    draft.replace(path)


def in_use(stage: Stage, leaf: Forged) -> None:
    fingerprint = sha256(leaf.der).hexdigest()
    wait_until(lambda: fingerprint in stage.federator.log, within=5, what="the new certificate")


def alarm(stage: Stage, words: str) -> None:
    def alarms() -> bool:
        return any(words in each for each in stage.federator.ask("/health/ready")[1]["alarms"])

    wait_until(alarms, within=5, what=f"the alarm {words}")
    kind = "certificate_expiring" if "expires" in words else "certificate_unusable"
    wait_until(lambda: stage.suspicions(kind), within=5, what="the report of the alarm")


@pytest.mark.case("FAULT-008")
def test_an_alarm_comes_before_a_certificate_ends(own: Stage) -> None:
    soon = own.b.a_leaf(starts=now() - timedelta(days=9), ends=now() + timedelta(hours=50))
    own.start()
    assert own.federator.ask("/health/ready")[1]["alarms"] == []
    own.write_pair(soon)
    alarm(own, "expires at")


def test_health_is_for_those_who_may_use_the_socket(own: Stage) -> None:
    own.start()
    open_to_all(own)
    program = textwrap.dedent(PERFECT).replace("sys.argv[1]", repr(str(own.places.outward)))
    request = b"GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n"
    command = [*ELSEWHERE["another user"], "/usr/bin/python3", "-c", program]
    before = own.settled()
    said = subprocess.run(command, input=request, capture_output=True, timeout=DEADLINE, check=True).stdout.decode()
    assert "403" in said
    assert "parts" not in said
    new = [row for id_, row in own.settled().items() if id_ not in before]
    assert [(row.reason, row.facts["user"]) for row in new] == [("socket_user", 65534)]


@pytest.mark.case("OUT-002")
def test_only_local_components_may_use_the_outward_socket(own: Stage) -> None:
    own.start()
    call = b"POST /rpc/a.example/directory/get-user-by-handle HTTP/1.1\r\nHost: x\r\n"
    call += b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    program = textwrap.dedent(PERFECT).replace("sys.argv[1]", repr(str(own.places.outward)))
    command = [*ELSEWHERE["another user"], "/usr/bin/python3", "-c", program]
    asked, before = len(own.around.names.questions), own.settled()

    def said_to_another_user() -> str:
        return subprocess.run(command, input=call, capture_output=True, timeout=DEADLINE, check=True).stdout.decode()

    assert said_to_another_user().startswith("refused")
    open_to_all(own)
    said = said_to_another_user()
    assert " 403 " in said
    assert '"code":"forbidden"' in said
    assert len(own.around.names.questions) == asked
    new = [row for id_, row in own.settled().items() if id_ not in before]
    assert [(row.reason, row.outcome) for row in new] == [("socket_user", "denied")]
    # A client on the network finds nothing to connect to: the process has no socket of any network.
    sockets = subprocess.run(["ss", "-Hltunp"], capture_output=True, text=True, check=True, timeout=DEADLINE).stdout
    assert f"pid={own.federator.pid}," not in sockets
    # The twin: a component's call is taken, and DNS asked for it.
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(DEADLINE)
        sock.connect(str(own.places.outward))
        sock.sendall(call)
        assert b"forbidden" not in sock.recv(65536)
    assert len(own.around.names.questions) > asked


def let_it_expire(stage: Stage) -> None:
    ends = now() + timedelta(seconds=6)
    stage.write_pair(leaf := stage.b.a_leaf(ends=ends))
    in_use(stage, leaf)
    time.sleep(max(0, (ends - now()).total_seconds()))


PARTS = ["inward listener", "outward listener", "resolver", "snapshot", "certificate"]


@pytest.mark.case("OPS-004")
@pytest.mark.parametrize("part", PARTS)
def test_readiness_tells_the_truth_about_each_part(own: Stage, part: str) -> None:
    own.settings["snapshot_seconds"] = "4"
    own.start()
    code, health = own.federator.ask("/health/ready")
    assert (code, health["ready"]) == (200, True)
    assert set(PARTS) <= set(health["parts"])
    ways: dict[str, Callable[[], object]] = {
        "inward listener": own.places.inward.unlink,
        "outward listener": own.federator.hide,
        "resolver": lambda: own.around.background.run(own.around.names.__aexit__(None, None, None)),
        "snapshot": lambda: own.around.background.run(own.around.server.stop()),
        "certificate": lambda: let_it_expire(own),
    }
    ways[part]()

    def fault() -> str:
        code, health = own.federator.ask("/health/ready")
        found = health["parts"][part]
        assert (code == 503) == (not health["ready"])
        assert not found or code == 503
        return str(found)

    assert wait_until(fault, within=10, what=f"readiness to name {part}")
    code, health = own.federator.ask("/health/ready")
    assert [name for name, found in health["parts"].items() if found] == [part]
    assert own.federator.ask("/health/live") == (200, {"live": True})
    told = str(health)
    for secret in ("PRIVATE", own.listener_key.hex(), own.b.leaf.key_pem.decode()):
        assert secret not in told
