"""One-time tokens: each logs one browser in, soon."""

import pytest

from openhands_sessions.core.ids import LOCAL_OWNER
from openhands_sessions.ports.access import Principal, Role
from openhands_sessions.server.login_tokens import MOST_TOKENS, TOKEN_SECONDS, LoginTokenRefused, LoginTokens

SOMEBODY = Principal(owner=LOCAL_OWNER, role=Role.ADMIN)


def reason(tokens: LoginTokens, token: str) -> str:
    with pytest.raises(LoginTokenRefused) as refused:
        tokens.redeem(token)
    return refused.value.reason


def test_a_token_counts_once() -> None:
    tokens = LoginTokens()
    token, other = tokens.issue(SOMEBODY), tokens.issue(SOMEBODY)
    assert tokens.redeem(token) == SOMEBODY
    assert reason(tokens, token) == "used"
    assert tokens.redeem(other) == SOMEBODY


def test_a_token_counts_for_a_quarter_of_an_hour() -> None:
    now = [0.0]
    tokens = LoginTokens(lambda: now[0])
    early, late = tokens.issue(SOMEBODY), tokens.issue(SOMEBODY)
    now[0] = TOKEN_SECONDS
    assert tokens.redeem(early) == SOMEBODY
    now[0] += 1
    assert reason(tokens, late) == "expired"


@pytest.mark.parametrize("token", ["", "guessed", "\ud800"])
def test_a_token_of_another_server_or_of_an_earlier_start_is_unknown(token: str) -> None:
    assert reason(LoginTokens(), token) == "unknown"
    assert reason(LoginTokens(), LoginTokens().issue(SOMEBODY)) == "unknown"


def test_of_too_many_tokens_the_oldest_is_forgotten() -> None:
    tokens = LoginTokens()
    first = tokens.issue(SOMEBODY)
    others = [tokens.issue(SOMEBODY) for _ in range(MOST_TOKENS)]
    assert reason(tokens, first) == "unknown"
    assert {tokens.redeem(token) for token in others} == {SOMEBODY}
