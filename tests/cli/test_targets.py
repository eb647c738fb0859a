"""Which server is meant, and where its token is kept."""

from pathlib import Path

import pytest

from isthmus.cli import credentials
from isthmus.cli.credentials import Credentials, Login
from isthmus.cli.errors import Misuse
from isthmus.cli.targets import Target, data_dir, parse_url, resolve

SERVER = "https://isthmus.example.com"
OTHER = "https://other.example.com"


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment of a user who signed in to SERVER last."""
    environment = {"XDG_CONFIG_HOME": str(tmp_path), "ISTHMUS_DATA_DIR": "/data"}
    known = Credentials(SERVER, {SERVER: Login("secret-1", "admin"), OTHER: Login("secret-2", "admin")})
    credentials.save(credentials.path_of(environment), known)
    return environment


def test_options_win_over_the_environment_which_wins_over_the_last_login(home: dict[str, str]) -> None:
    both = home | {"ISTHMUS_SERVER": OTHER, "ISTHMUS_SOCKET": "/env.sock"}
    socket = Path("/option.sock")
    assert resolve(SERVER, None, both) == Target(SERVER, token="secret-1")
    assert resolve(None, socket, both).socket == socket
    assert resolve(None, None, both) == Target(OTHER, token="secret-2")
    assert resolve(None, None, home | {"ISTHMUS_SOCKET": "/env.sock"}).socket == Path("/env.sock")
    assert resolve(None, None, home) == Target(SERVER, token="secret-1")


def test_who_never_signed_in_talks_to_this_machines_own_server() -> None:
    environment = {"XDG_CONFIG_HOME": "/nowhere", "ISTHMUS_DATA_DIR": "/data"}
    assert resolve(None, None, environment) == Target("http://isthmus", Path("/data/server.sock"))


def test_a_token_goes_only_to_the_server_that_it_is_from(home: dict[str, str]) -> None:
    assert resolve("https://third.example.com", None, home).token is None
    assert resolve("https://third.example.com", None, home | {"ISTHMUS_TOKEN": "t"}).token == "t"
    assert resolve(None, Path("/some.sock"), home | {"ISTHMUS_TOKEN": "t"}).token is None


def test_two_servers_at_once_are_refused(home: dict[str, str]) -> None:
    with pytest.raises(Misuse, match="two servers"):
        resolve(SERVER, Path("/some.sock"), home)


def test_the_data_folder_is_the_systems_for_root_and_the_users_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert data_dir({}) == Path("/var/lib/isthmus")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert data_dir({"XDG_DATA_HOME": "/home/me/data"}) == Path("/home/me/data/isthmus")
    assert data_dir({}) == Path.home() / ".local/share/isthmus"


@pytest.mark.parametrize("text", ["http://127.0.0.1:8080", "http://localhost:8080/", "http://[::1]:8080", "https://h"])
def test_a_url_loses_nothing_but_its_slash(text: str) -> None:
    assert parse_url(text, {}) == text.rstrip("/")


@pytest.mark.parametrize("text", ["", "isthmus.example.com", "ftp://h", "https://", "https://h/path", "https://h?x=1"])
def test_what_is_no_server_url_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Misuse, match="is not the URL of a server") as refused:
        parse_url(text, {})
    assert refused.value.hint == "for example https://isthmus.example.com"


def test_a_token_never_travels_in_clear_unless_told_so() -> None:
    with pytest.raises(Misuse, match="in clear"):
        parse_url("http://10.0.0.1:8080", {})
    assert parse_url("http://10.0.0.1:8080", {"ISTHMUS_SERVER_PLAIN_HTTP": "1"}) == "http://10.0.0.1:8080"


def test_a_password_in_a_url_is_refused_without_repeating_it() -> None:
    with pytest.raises(Misuse) as refused:
        parse_url("https://admin:hunter2@h", {})
    assert "hunter2" not in f"{refused.value}{refused.value.hint}"


def test_credentials_are_for_their_owner_alone(home: dict[str, str]) -> None:
    path = credentials.path_of(home)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["credentials.json"]


def test_tokens_are_not_shown_by_accident(home: dict[str, str]) -> None:
    shown = f"{credentials.load(credentials.path_of(home))!r} {resolve(None, None, home)!r}"
    assert "secret" not in shown


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"current": null, "servers": {"u": {"tok": 1}}}', "\x00"])
def test_a_damaged_credentials_file_is_named(home: dict[str, str], text: str) -> None:
    path = credentials.path_of(home)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(Misuse, match="is damaged"):
        credentials.load(path)
