"""Errors: what one side writes, the other reads."""

from collections.abc import Callable

import pytest

from openhands_sessions.core.errors import (
    AlreadyExists,
    AtCapacity,
    BadInput,
    NotAccepting,
    NotFound,
    RateLimited,
    SessionsError,
    StageFailed,
    StorageUnavailable,
    TooLarge,
    Unauthorized,
    Unreachable,
)
from openhands_sessions.core.events.event import Json
from openhands_sessions.protocol.errors import Acknowledgement, BareError, ErrorOut, Refusal, error_of, http_status

ERRORS: list[SessionsError] = [
    AlreadyExists("taken"),
    AtCapacity("full"),
    BadInput("args.content", "is missing"),
    NotAccepting("not now"),
    NotFound("conversation", "talk"),
    RateLimited("slowly", retry_after=1.5),
    StorageUnavailable("disk full"),
    TooLarge("over 1 MB"),
    Unauthorized("no key"),
]
Form = Callable[[SessionsError], dict[str, Json]]
FORMS: list[Form] = [
    lambda error: ErrorOut.of(error).wire(),
    lambda error: Acknowledgement.refusing(error).wire(),
    lambda error: Refusal.of(error).wire(),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("form", FORMS)
def test_an_error_is_read_as_it_was_written(
    error: SessionsError, form: Callable[[SessionsError], dict[str, Json]]
) -> None:
    read = error_of(form(error))
    assert type(read) is type(error)
    assert error.message in read.message


def test_an_acknowledgement_carries_the_field_and_the_seconds() -> None:
    wrong = error_of(Acknowledgement.refusing(BadInput("args.content", "is missing")).wire())
    assert isinstance(wrong, BadInput)
    assert (wrong.field, wrong.message) == ("args.content", "args.content is missing")
    limited = error_of(Acknowledgement.refusing(RateLimited("slowly", retry_after=1.23456)).wire())
    assert isinstance(limited, RateLimited)
    assert limited.retry_after == 1.235


@pytest.mark.parametrize("answer", [None, [], {}, {"code": 7}, {"data": "x"}, {"detail": "gone"}])
def test_an_answer_that_says_nothing_is_an_error_too(answer: object) -> None:
    assert type(error_of(answer)) is SessionsError


def test_a_bare_error_has_the_code() -> None:
    assert BareError.of(TooLarge("over 1 MB")).wire() == {"error": True, "message": "over 1 MB", "code": "too_large"}


def test_the_nearest_class_decides_the_status() -> None:
    kinds = (NotFound, BadInput, AtCapacity, StageFailed, Unreachable)
    assert [http_status(kind) for kind in kinds] == [404, 422, 503, 500, 500]
