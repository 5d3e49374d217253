"""Classifies errors of model providers into status ids of the wire and sentences for users."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from openhands_sessions.adapters.models.refusals import refusal, too_large, too_long
from openhands_sessions.core.errors import ModelFailure, Refusal
from openhands_sessions.core.masking import MASK, TextMasker, without_paths

_LONGEST_REASON = 300
_BIGGEST_PAGE = 20_000
"""Characters of a provider's answer that are examined."""


@dataclass(frozen=True, slots=True)
class FailureKind:
    """A class of failures. `passing` ones are worth another try; for `lasting` ones no change of the request helps."""

    status: str
    sentence: str
    passing: bool = False
    lasting: bool = False


AUTHENTICATION = FailureKind(
    "STATUS$ERROR_LLM_AUTHENTICATION", "The model's provider did not accept the API key", lasting=True
)
NO_KEY = FailureKind(AUTHENTICATION.status, "There is no API key for the model's provider", lasting=True)
NO_CREDITS = FailureKind(
    "STATUS$ERROR_LLM_OUT_OF_CREDITS", "The account at the model's provider is out of credits", lasting=True
)
POLICY = FailureKind(
    "STATUS$ERROR_LLM_CONTENT_POLICY_VIOLATION", "The model's provider refused the request by its content policy"
)
RATE_LIMITED = FailureKind(
    "CHAT_INTERFACE$AGENT_RATE_LIMITED_STOPPED_MESSAGE",
    "The model's provider limits the rate of requests",
    passing=True,
    lasting=True,
)
UNAVAILABLE = FailureKind(
    "STATUS$ERROR_LLM_SERVICE_UNAVAILABLE", "The model's provider cannot be reached or is overloaded", passing=True
)
INTERNAL = FailureKind(
    "STATUS$ERROR_LLM_INTERNAL_SERVER_ERROR", "The model's provider had an internal error", passing=True
)
TOO_LONG = FailureKind("STATUS$ERROR", "The conversation is longer than the model can read")
NOT_FOUND = FailureKind("STATUS$ERROR", "The model's provider does not know the model")
REFUSED = FailureKind("STATUS$ERROR", "The model's provider refused the request")
MISCONFIGURED = FailureKind("STATUS$ERROR", "The model cannot be used as it is configured")
OTHER = FailureKind("STATUS$ERROR", "The model did not answer")
CUT = FailureKind(UNAVAILABLE.status, "The model's reply was cut off", passing=True)
TOO_SLOW = FailureKind(UNAVAILABLE.status, "The model took too long")


class ReplyCut(Exception):
    """The stream ended in the middle of a reply, with the provider's words, HTTP status and frame where it sent any."""

    def __init__(self, message: str = "", status_code: int | None = None, body: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.status_code = status_code
        self.body = body


@dataclass(frozen=True, slots=True)
class _Signs:
    """Properties of an error: the names of its classes and of its causes' classes, HTTP status, text in lower case."""

    names: frozenset[str]
    causes: frozenset[str]
    status: int | None
    text: str

    def named(self, *names: str) -> bool:
        return not self.names.isdisjoint(names)

    def says(self, *phrases: str) -> bool:
        return any(phrase in self.text for phrase in phrases)


_RULES: Sequence[tuple[FailureKind, Callable[[_Signs], bool]]] = (
    (POLICY, lambda s: s.named("ContentPolicyViolationError") or s.says("content_policy_violation")),
    (
        NO_CREDITS,
        lambda s: (
            s.status == 402
            or s.named("PaymentRequiredError", "BudgetExceededError")
            or s.says("insufficient_quota", "credit balance is too low", "insufficient credits", "insufficient balance")
        ),
    ),
    (
        AUTHENTICATION,
        lambda s: (
            s.status in (401, 403)
            or s.named("AuthenticationError", "PermissionDeniedError")
            or s.says("missing credentials", "api_key client option must be set", "api key not valid")
        ),
    ),
    (
        TOO_LONG,
        lambda s: (
            s.named("ContextWindowExceededError")
            or (s.status != 404 and (too_long(s.text, s.status) or too_large(s.text, s.status)))
        ),
    ),
    (RATE_LIMITED, lambda s: s.status == 429 or s.named("RateLimitError")),
    (CUT, lambda s: s.named("ReplyCut", "MidStreamFallbackError") and not 400 <= (s.status or 0) < 500),
    (
        UNAVAILABLE,
        lambda s: (
            s.status in (408, 502, 503, 504, 529)
            or s.named("APIConnectionError", "ServiceUnavailableError", "APIResponseValidationError")
            or "TransportError" in s.causes
        ),
    ),
    (INTERNAL, lambda s: s.status is not None and s.status >= 500),
    (NOT_FOUND, lambda s: s.status == 404),
    (REFUSED, lambda s: s.status is not None and s.status >= 400),
    (OTHER, lambda s: True),
)
"""The first match counts. Classes are compared by name to avoid imports; connection errors carry an invented status
500 and therefore come before it."""
_DEEPEST_CAUSE = 8


def classify(error: BaseException) -> FailureKind:
    """The kind of failure of an error of litellm or of this package."""
    signs = _signs(error)
    return next(kind for kind, applies in _RULES if applies(signs))


def _signs(error: BaseException) -> _Signs:
    status = getattr(error, "status_code", None)
    return _Signs(
        names=_class_names(error),
        causes=frozenset().union(*map(_class_names, _causes(error))),
        status=status if isinstance(status, int) else None,
        text=f"{error} {getattr(error, 'body', '')}"[:_BIGGEST_PAGE].lower(),
    )


def _class_names(error: BaseException) -> frozenset[str]:
    return frozenset(kind.__name__ for kind in type(error).__mro__)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    for _ in range(_DEEPEST_CAUSE):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or cause.__context__


def failure(error: BaseException, secrets: Sequence[str] = ()) -> ModelFailure:
    """The error as users see it: whose fault it is and the provider's short reason, without the given secrets."""
    kind, why = classify(error), reason(error, secrets)
    if kind is RATE_LIMITED and (seconds := retry_after(error)):
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        why = f"{why.rstrip('.')}; it takes requests again in {seconds:.0f} s, at {until:%Y-%m-%d %H:%M:%S} UTC"
    return model_failure(kind, why, _refusal(kind, _signs(error)))


def _refusal(kind: FailureKind, signs: _Signs) -> Refusal | None:
    if kind is TOO_LONG:
        return Refusal.TOO_LARGE if too_large(signs.text, signs.status) else Refusal.TOO_LONG
    if kind is POLICY:
        return Refusal.IMAGE  # nothing else can be left out without changing what was said
    return None if kind.lasting or kind is UNAVAILABLE else refusal(signs.text, signs.status)


def model_failure(kind: FailureKind, why: str = "", refused: Refusal | None = None) -> ModelFailure:
    """The error for a kind of failure, with a reason if given."""
    why = why.rstrip(".")
    told = f"{kind.sentence}: {why}" if why else kind.sentence
    return ModelFailure(kind.status, told if told.endswith("?") else f"{told}.", refused)


_PREFIX = re.compile(r"^\s*(?:litellm\.\w+|\w*(?:Error|Exception)|Error code: \d+)\s*(?::|-)\s*")
_BEHIND = re.compile(
    r"Traceback \(most recent call last\)|Original exception:|Error_str:|LiteLLM Retried|Received Model Group"
)
_JSON_MESSAGE = re.compile(r"""["']message["']\s*:\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)')""")
_ESCAPED_QUOTE = re.compile(r"""\\(["'/])""")
_SHORT_KEYS = re.compile(r"(?<=[Bb]earer )\S+|(?<=[?&]key=)[^&\s]+")
"""In a provider's words each of them is a key, however short."""
_NOISE = re.compile(r" ssl:(?:<[^>]*>|default)")


def reason(error: BaseException, secrets: Sequence[str] = ()) -> str:
    """The provider's reason in one line of at most 300 characters: no class names, key, traceback or host path."""
    text = TextMasker(secrets).text(str(getattr(error, "message", None) or error)[:_BIGGEST_PAGE])
    text = _BEHIND.split(text)[0]
    if "<html" in text.lower():
        return "it answered with a web page"
    if found := _JSON_MESSAGE.search(text):
        text = _ESCAPED_QUOTE.sub(r"\1", found[1] or found[2] or "")
    while prefix := _PREFIX.match(text):
        text = text[prefix.end() :]
    text = _NOISE.sub("", " ".join(text.split()))
    text = without_paths(_SHORT_KEYS.sub(MASK, text))
    return text if len(text) <= _LONGEST_REASON else text[: _LONGEST_REASON - 1] + "…"


def retry_after(error: BaseException, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> float | None:
    """The seconds that the provider asks to wait (Retry-After, as seconds or as a date), None if it does not."""
    for headers in _headers(error):
        if (milliseconds := _number(headers.get("retry-after-ms", ""))) is not None:
            return max(0.0, milliseconds / 1000)
        if (seconds := headers.get("retry-after")) is not None:
            return _seconds(seconds, now)
    return None


def _headers(error: BaseException) -> Iterator[dict[str, str]]:
    for holder in (error, getattr(error, "response", None), getattr(error, "original_exception", None)):
        for name in ("litellm_response_headers", "headers"):
            headers = getattr(holder, name, None)
            if headers:
                yield {str(key).lower(): str(value) for key, value in dict(headers).items()}


def _seconds(text: str, now: Callable[[], datetime]) -> float | None:
    number = _number(text)
    if number is not None:
        return max(0.0, number)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now()).total_seconds())


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
