"""The key that a server makes for itself, and how programs find it."""

import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from openhands_sessions.config.errors import ConfigError
from openhands_sessions.config.session_key import FILE, find_key, make_key, read_key

LOOPBACK, ELSEWHERE = "http://127.0.0.1:3000", "https://agents.example.org"


def test_a_key_is_made_once_is_long_and_is_the_owners_alone(data_dir: Path) -> None:
    assert read_key(data_dir) is None
    key = make_key(data_dir)
    assert len(key) >= 40
    assert make_key(data_dir) == read_key(data_dir) == key
    assert stat.S_IMODE((data_dir / FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
    assert [file.name for file in data_dir.iterdir()] == [FILE]


def test_processes_that_start_at_once_agree_on_one_key(data_dir: Path) -> None:
    program = "import sys, pathlib; from openhands_sessions.config.session_key import make_key; "
    words = [sys.executable, "-c", program + "print(make_key(pathlib.Path(sys.argv[1])))", str(data_dir)]

    def made(_: int) -> str:
        return subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout

    with ThreadPoolExecutor(6) as pool:
        keys = set(pool.map(made, range(6)))
    assert keys == {f"{read_key(data_dir)}\n"}


def test_what_a_killed_server_left_unfinished_is_no_key(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / f".{FILE}.new").write_text("half")
    assert read_key(data_dir) is None
    assert make_key(data_dir) != "half"


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"two\nlines"])
def test_a_file_without_a_key_is_told_with_what_to_do(data_dir: Path, content: bytes) -> None:
    data_dir.mkdir()
    (data_dir / FILE).write_bytes(content)
    for look in (read_key, make_key):
        with pytest.raises(ConfigError, match="holds no key; remove the file"):
            look(data_dir)


@pytest.mark.parametrize(
    ("environ", "given", "url", "found"),
    [
        ({"OHS_SESSION_API_KEY": "short", "OHS_SERVER__SESSION_API_KEY": "long"}, "argument", LOOPBACK, "argument"),
        ({"OHS_SESSION_API_KEY": "short", "OHS_SERVER__SESSION_API_KEY": "long"}, None, LOOPBACK, "short"),
        ({"OHS_SERVER__SESSION_API_KEY": "long"}, None, ELSEWHERE, "long"),
        ({"OHS_SESSION_API_KEY": ""}, None, LOOPBACK, None),
        ({"OHS_SESSION_API_KEY": "short"}, "", LOOPBACK, None),
        ({}, None, ELSEWHERE, None),
        ({}, None, "http://[::1", None),
        *(({}, None, url, "the file's") for url in (LOOPBACK, "localhost:3000", "127.0.0.1", "http://[::1]:3000/x")),
    ],
)
def test_a_key_is_the_argument_else_the_variable_else_on_loopback_the_file(
    data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    environ: dict[str, str],
    given: str | None,
    url: str,
    found: str | None,
) -> None:
    data_dir.mkdir()
    (data_dir / FILE).write_text("the file's\n")
    monkeypatch.setenv("OHS_DATA_DIR", str(data_dir))
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert find_key(url, given) == found
    assert find_key(url, given, data_dir) == found
