"""What `Session` and `Agent` say to keywords that they do not have."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from openhands_sessions import Agent, Session
from openhands_sessions.core.errors import BadInput, UnknownArgument
from openhands_sessions.sdk.known_arguments import ELSEWHERE


@pytest.mark.parametrize(
    ("made", "given", "told"),
    [
        (Session, {"sesion_id": "a"}, "unknown argument 'sesion_id' of Session; did you mean 'session_id'?"),
        (Agent, {"instruction": "a"}, "unknown argument 'instruction' of Agent; did you mean 'instructions'?"),
        (Agent, {"zzz": 1}, "unknown argument 'zzz' of Agent"),
        (Session, {"ttl": 3}, "unknown argument 'ttl' of Session in this version: sessions are kept until"),
    ],
)
def test_an_unknown_keyword_is_refused_with_the_nearest_one_or_what_holds_instead(
    made: Callable[..., Any], given: dict[str, Any], told: str
) -> None:
    with pytest.raises(UnknownArgument) as refused:
        made(**given)
    assert refused.value.message.startswith(told)
    assert refused.value.field in given
    assert isinstance(refused.value, BadInput | TypeError)


def test_a_subclass_may_take_more_and_pass_the_others_on() -> None:
    class Checkpointed(Session):
        def __init__(self, *args: Any, checkpoint_interval: int = 5, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.checkpoint_interval = checkpoint_interval

    assert Checkpointed("my-id", checkpoint_interval=2).checkpoint_interval == 2
    with pytest.raises(UnknownArgument, match="turn_timeout"):
        Checkpointed("my-id", turn_timout=2)


def test_no_argument_that_exists_is_told_to_be_missing() -> None:
    assert not ELSEWHERE.keys() & {*inspect.signature(Session).parameters, *inspect.signature(Agent).parameters}
