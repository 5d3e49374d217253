"""Keys to verify tokens by: read from a file, and refused where they cannot be used."""

from pathlib import Path
from typing import Any

import pytest

from openhands_sessions.adapters.auths.token_keys import read_jwks
from openhands_sessions.adapters.auths.token_keys import secret_key as key_of_secret
from openhands_sessions.core.errors import BadInput
from tests.support.token_keys import ed25519_key, public, rsa_key, secret_key, write_jwks

KEYS = {"ed": ed25519_key("ed"), "rsa": rsa_key("rsa")}


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ([{**KEYS["ed"], "kid": ""}], "key 1 has no `kid`"),
        ([KEYS["ed"], KEYS["ed"]], "two keys with the `kid` 'ed'"),
        ([{**public(KEYS["ed"]), "x": "AA"}], "is damaged"),
        ([secret_key("short", "too short")], "needs at least 32 bytes"),
        ([rsa_key("weak", bits=1_024)], "needs at least 2048 bits"),
        ([7], "key 1 has no `kid`"),
    ],
)
def test_keys_that_cannot_be_used_are_told(tmp_path: Path, keys: list[Any], told: str) -> None:
    with pytest.raises(BadInput, match=r"auth\.jwks") as refused:
        read_jwks(write_jwks(tmp_path / "keys.json", *keys))
    assert told in refused.value.message


@pytest.mark.parametrize(
    "other",
    [
        {"kty": "EC", "kid": "x"},
        {**KEYS["rsa"], "kid": "x", "use": "enc"},
        {**KEYS["rsa"], "kid": "x", "alg": "HS256"},
        {**KEYS["ed"], "kid": "x", "crv": "Ed448"},
    ],
    ids=["elliptic", "for encryption", "of another algorithm", "of another curve"],
)
def test_keys_for_something_else_are_left_out(tmp_path: Path, other: dict[str, Any]) -> None:
    assert read_jwks(write_jwks(tmp_path / "keys.json", other, KEYS["ed"])).keys() == {"ed"}
    assert read_jwks(write_jwks(tmp_path / "other.json", other)) == {}
    assert read_jwks(write_jwks(tmp_path / "none.json")) == {}


def test_what_a_provider_says_beside_a_key_does_not_make_it_another_one(tmp_path: Path) -> None:
    one = read_jwks(write_jwks(tmp_path / "one.json", KEYS["rsa"]))["rsa"]
    same = read_jwks(write_jwks(tmp_path / "same.json", {**public(KEYS["rsa"]), "x5t": "renewed"}))["rsa"]
    assert one.fingerprint == same.fingerprint


def test_a_file_without_keys_and_a_short_secret_are_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read_jwks(tmp_path / "none.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(BadInput, match="holds no keys"):
        read_jwks(tmp_path / "list.json")
    with pytest.raises(BadInput, match=r"auth.secret must have at least 32 bytes"):
        key_of_secret("short")
