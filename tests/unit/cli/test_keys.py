"""What commands say about who may call a server."""

from pathlib import Path

import pytest

from openhands_sessions.cli.doctor import access
from openhands_sessions.cli.keys import key_for, url_of
from openhands_sessions.config.config import Config
from openhands_sessions.config.session_key import FILE, make_key
from openhands_sessions.core.errors import Unauthorized

OPEN = {"kind": "open"}


@pytest.mark.parametrize(
    ("settings", "status", "found"),
    [
        ({}, "ok", "by a key that the server makes at its first start"),
        ({"server": {"session_api_key": "open sesame"}}, "ok", "by the configured key"),
        ({"auth": OPEN}, "warn", "open, without a key"),
        ({"server": {"session_api_key": ""}}, "warn", "open, without a key"),
        ({"auth": OPEN, "server": {"host": "0.0.0.0"}}, "fail", "server.host 0.0.0.0 is reached from other machines"),
        ({"auth": OPEN, "server": {"session_api_key": "open sesame"}}, "fail", "auth.kind is open, and server.session"),
        ({"auth": {"kind": "tokens", "secret": "open sesame" * 3}}, "ok", "by signed tokens"),
        ({"auth": {"kind": "tokens"}}, "fail", "auth.kind is tokens, which are verified by auth.secret or the keys of"),
        ({"auth": {"kind": "tokens", "jwks": "/nowhere.json"}}, "fail", "auth.jwks names /nowhere.json, which cannot"),
        ({"auth": {"kind": "trusted_header", "proxies": "10.0.0.7"}}, "ok", "by X-Forwarded-User, from 10.0.0.7/32"),
        ({"auth": {"kind": "trusted_header"}}, "fail", "auth.kind is trusted_header, and no proxy is trusted"),
    ],
)
def test_the_doctor_says_who_may_call(data_dir: Path, settings: dict[str, object], status: str, found: str) -> None:
    told = access(Config.model_validate({"data_dir": data_dir, **settings}))
    assert told.status == status
    assert told.found.startswith(found)
    assert "sesame" not in told.found + told.advice


def test_the_doctor_looks_at_the_file_of_a_key(data_dir: Path) -> None:
    make_key(data_dir)
    config = Config(data_dir=data_dir)
    assert access(config).status == "ok"
    (data_dir / FILE).chmod(0o644)
    told = access(config)
    assert (told.status, f"chmod 600 {data_dir / FILE}" in told.advice) == ("warn", True)
    (data_dir / FILE).write_text("")
    assert access(config).status == "fail"


def show_and_be_refused(config: Config) -> None:
    with key_for("http://127.0.0.1:3000", config) as key:
        assert key == "open sesame"
        raise Unauthorized("no")


def test_who_is_refused_is_told_what_to_do_and_the_key_is_not_repeated() -> None:
    config = Config.model_validate({"server": {"session_api_key": "open sesame"}})
    with pytest.raises(Unauthorized, match="does not take ") as refused:
        show_and_be_refused(config)
    assert "sesame" not in str(refused.value)


def test_who_shows_a_token_that_does_not_count_is_told_why() -> None:
    with (
        pytest.raises(Unauthorized, match="refuses what is shown as the key: the token has expired"),
        key_for("any", Config()),
    ):
        raise Unauthorized("the token has expired")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("::1", "http://[::1]:80"),
        ("", "http://127.0.0.1:80"),
        ("example.org", "http://example.org:80"),
    ],
)
def test_a_server_is_reached_on_this_machine_by_an_address_that_leads_there(host: str, url: str) -> None:
    assert url_of(Config.model_validate({"server": {"host": host}}), 80) == url
