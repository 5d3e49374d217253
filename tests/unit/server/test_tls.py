"""What is wrong with a certificate and its key is said before a server starts with them."""

from pathlib import Path

import pytest

from openhands_sessions.adapters.tls import CERTIFICATE, KEY, identity, read_pem
from openhands_sessions.bootstrap.tls import watched_identity
from openhands_sessions.config.config import Config, ServerSection
from openhands_sessions.core.errors import BadInput
from tests.support.certificates import DAY, Pair, certified

GOOD = certified()
CASES = {
    "an expired one": (certified(begins=-2 * DAY, ends=-DAY), f"{CERTIFICATE} has expired at .*: renew it"),
    "one of the future": (certified(begins=DAY, ends=2 * DAY), f"{CERTIFICATE} counts only from .*clock"),
    "another's key": (Pair(GOOD.certificate, certified().key), f"{KEY} does not belong to the certificate"),
    "an encrypted key": (certified(passphrase="secret"), f"{KEY} is encrypted: remove its passphrase"),
    "a key in its place": (Pair(GOOD.key, GOOD.key), f"{CERTIFICATE} holds no certificate"),
    "no key": (Pair(GOOD.certificate, GOOD.certificate), f"{KEY} holds no private key"),
    "a broken one": (Pair(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", GOOD.key), "no certificate"),
}


def test_a_good_pair_is_taken_with_its_end() -> None:
    assert identity(GOOD.certificate, GOOD.key).expires.tzinfo is not None


@pytest.mark.parametrize("case", CASES)
def test_a_bad_pair_is_refused_with_what_is_wrong(case: str) -> None:
    pair, problem = CASES[case]
    with pytest.raises(BadInput, match=problem):
        identity(pair.certificate, pair.key)


def test_no_error_holds_the_key(tmp_path: Path) -> None:
    assert "PRIVATE" not in repr(identity(GOOD.certificate, GOOD.key))


def test_files_that_cannot_be_read_are_refused_by_the_name_of_their_setting(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no PEM")
    for path, problem in (
        (tmp_path / "missing", "No such file"),
        (tmp_path, "Is a directory"),
        (tmp_path / "text", "no PEM"),
    ):
        with pytest.raises(BadInput, match=f"{KEY} names .*{problem}"):
            read_pem(KEY)(path)


def test_one_setting_without_the_other_is_refused(tmp_path: Path) -> None:
    certificate, key = GOOD.write(tmp_path)
    with pytest.raises(BadInput, match=f"{KEY} must be set too"):
        watched_identity(Config(server=ServerSection(tls_certificate=certificate)))
    with pytest.raises(BadInput, match=f"{CERTIFICATE} must be set too"):
        watched_identity(Config(server=ServerSection(tls_key=key)))
    assert watched_identity(Config()) is None
