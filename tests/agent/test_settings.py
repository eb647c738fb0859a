"""Settings with a mistake refuse the start and say what to do."""

from pathlib import Path

import pytest

from isthmus.agent.errors import InvalidSettings
from isthmus.agent.settings import Settings, load
from isthmus.agent.wiring import interface_name


def write(folder: Path, text: str) -> Path:
    file = folder / "agent.toml"
    file.write_text(text)
    return file


def test_variables_override_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, 'state_dir = "/srv/agent"\nbackend = "kernel"\nallow_http = true\n')
    found = load(file, {"ISTHMUS_AGENT_BACKEND": "userspace", "ISTHMUS_SERVER": "elsewhere", "PATH": "/bin"})
    assert found == Settings(state_dir="/srv/agent", backend="userspace", allow_http=True)
    assert load(None, {"ISTHMUS_AGENT_CONFIG": str(file)}).backend == "kernel"
    assert load(None, {"ISTHMUS_AGENT_ALLOW_HTTP": "false"}).allow_http is False


@pytest.mark.parametrize(
    ("text", "key", "remedy"),
    [
        ("statedir = '/srv'", "statedir", "did you mean 'state_dir'"),
        ("colour = 1", "colour", "known are state_dir"),
        ("backend = 'fpga'", "backend", "Invalid enum value"),
        ("state_dir = 5", "state_dir", "Expected `str`"),
        ("allow_http = 'yes'", "allow_http", "Expected `bool`"),
        ("interface = 'eth0; drop'", "interface", "use up to 15"),
        ("interface = '-x'", "interface", "a letter first"),
        ("interface = ", "(file)", "is not TOML"),
    ],
)
def test_a_mistake_names_key_file_and_remedy(tmp_path: Path, text: str, key: str, remedy: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(InvalidSettings) as caught:
        load(file, {})
    assert f"{key!r} in {file}" in str(caught.value)
    assert remedy in str(caught.value)


def test_a_mistaken_variable_is_named_as_it_was_written() -> None:
    with pytest.raises(InvalidSettings, match="'ISTHMUS_AGENT_BACKED' in the environment: is unknown; did you mean"):
        load(None, {"ISTHMUS_AGENT_BACKED": "kernel"})


def test_a_file_that_is_named_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="cannot be read: No such file"):
        load(tmp_path / "none.toml", {})


def test_the_interface_is_named_after_the_network_and_fits() -> None:
    assert interface_name(Settings(), "office") == "ist-office"
    assert interface_name(Settings(), "long-office-name-of-many-words") == "ist-long-office"
    assert interface_name(Settings(), "0123456789-tail") == "ist-0123456789"
    assert interface_name(Settings(interface="wg7"), "office") == "wg7"
