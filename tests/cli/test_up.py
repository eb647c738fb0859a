"""`isthmus up`: which processes it keeps, with which settings, and how it starts and ends with the real server."""

import signal
import subprocess
from pathlib import Path

import pytest

from isthmus.cli.up import data_folder, is_initialised, programs, replicas
from isthmus.protocol.places import Places
from lab.waiting import wait_until
from tests.server import COMMAND, clean_environment, free_port

WITHIN = 30.0


def material(folder: Path) -> list[Path]:
    places = Places(folder)
    pairs = [pair / name for pair in (places.federator_pair, places.ingress_pair) for name in ("chain.pem", "key.pem")]
    return [*pairs, places.message_key, places.listener_key]


def test_the_federator_and_the_ingress_wait_until_everything_they_need_has_been_made(tmp_path: Path) -> None:
    for file in material(tmp_path):
        assert not is_initialised(Places(tmp_path))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert is_initialised(Places(tmp_path))


def test_what_is_given_goes_to_the_server_and_its_folder_to_all() -> None:
    given = ["--listen", "127.0.0.1:9000"]
    server, federator, ingress = programs(Path("/data"), given, {"ISTHMUS_LOG_LEVEL": "debug"})
    assert list(server.command)[-3:] == ["server", *given]
    assert server.environment == {"ISTHMUS_LOG_LEVEL": "debug"}
    for program in (federator, ingress):
        assert program.environment == {"ISTHMUS_LOG_LEVEL": "debug", "ISTHMUS_DATA_DIR": "/data"}
        assert not program.may_start()


def test_of_several_each_knows_which_one_it_is() -> None:
    made = programs(Path("/data"), [], {}, 2)
    assert [each.name for each in made] == ["server", "federator", "federator-2", "ingress", "ingress-2"]
    assert [list(each.command)[-2:] for each in made[1:]] == [
        ["federator", "run"],
        ["--replica", "2"],
        ["ingress", "run"],
        ["--replica", "2"],
    ]


@pytest.mark.parametrize(
    ("text", "environment", "count"),
    [
        ("", {}, 1),
        ("replicas = 3", {}, 3),
        ("replicas = 3", {"ISTHMUS_REPLICAS": "2"}, 2),
        # What the server refuses to start with.
        ("replicas = 9", {}, 1),
        ('replicas = "many"', {"ISTHMUS_REPLICAS": "-1"}, 1),
    ],
)
def test_there_are_as_many_as_the_settings_ask_for(
    tmp_path: Path, text: str, environment: dict[str, str], count: int
) -> None:
    config = tmp_path / "server.toml"
    config.write_text(text)
    assert replicas(config, environment) == count


@pytest.mark.parametrize(
    ("text", "environment", "folder"),
    [
        ('data_dir = "/in/the/file"', {}, "/in/the/file"),
        ('data_dir = "/in/the/file"', {"ISTHMUS_DATA_DIR": "/in/the/environment"}, "/in/the/environment"),
        ('listen = "127.0.0.1:1"', {"ISTHMUS_DATA_DIR": "/in/the/environment"}, "/in/the/environment"),
        ("no TOML", {"XDG_DATA_HOME": "/x", "ISTHMUS_DATA_DIR": "/d"}, "/d"),
    ],
)
def test_the_folder_is_the_one_that_the_server_takes(
    tmp_path: Path, text: str, environment: dict[str, str], folder: str
) -> None:
    config = tmp_path / "server.toml"
    config.write_text(text)
    assert data_folder(config, environment) == Path(folder)


def test_it_runs_the_server_until_it_is_told_to_stop(tmp_path: Path) -> None:
    settings = {"data_dir": str(tmp_path / "data"), "listen": f"127.0.0.1:{free_port()}"}
    with (tmp_path / "out").open("wb") as out:
        up = subprocess.Popen([COMMAND, "up"], env=clean_environment(settings), stdout=out, stderr=out)
    try:
        running = f"server    | Isthmus is running at http://{settings['listen']}\n"
        wait_until(lambda: running in (tmp_path / "out").read_text(), within=WITHIN, what="the server")
        up.send_signal(signal.SIGTERM)
        assert up.wait(WITHIN) == 0
    finally:
        up.kill()
        up.wait(WITHIN)


def test_a_setting_that_the_server_refuses_ends_it_with_the_servers_sentence(tmp_path: Path) -> None:
    settings = {"data_dir": str(tmp_path / "data"), "listen": "nonsense"}
    done = subprocess.run(
        [COMMAND, "up"], env=clean_environment(settings), capture_output=True, text=True, timeout=WITHIN, check=False
    )
    assert done.returncode == 1
    assert "server    | isthmus server: the environment: listen: 'nonsense' is not ADDRESS:PORT" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("up        | server did not start")
