"""Errors of providers as users see them."""

from datetime import UTC, datetime

import pytest

from openhands_sessions.adapters.models.failures import FailureKind, ReplyCut, classify, failure, reason, retry_after

AUTHENTICATION = "STATUS$ERROR_LLM_AUTHENTICATION"
UNAVAILABLE = "STATUS$ERROR_LLM_SERVICE_UNAVAILABLE"
INTERNAL = "STATUS$ERROR_LLM_INTERNAL_SERVER_ERROR"
NO_CREDITS = "STATUS$ERROR_LLM_OUT_OF_CREDITS"
POLICY = "STATUS$ERROR_LLM_CONTENT_POLICY_VIOLATION"
RATE_LIMITED = "CHAT_INTERFACE$AGENT_RATE_LIMITED_STOPPED_MESSAGE"
OTHER = "STATUS$ERROR"


class ProviderError(Exception):
    """An error as litellm raises it."""

    def __init__(
        self, message: str = "", status_code: int | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status_code = status_code
        self.litellm_response_headers = headers


class APIConnectionError(ProviderError): ...


class TransportError(Exception): ...


class AuthenticationError(ProviderError): ...


class ContextWindowExceededError(ProviderError): ...


def behind(cause: Exception, error: Exception) -> Exception:
    """The error, raised while the cause was handled."""
    error.__context__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "status", "passing"),
    [
        (ProviderError("no", 401), AUTHENTICATION, False),
        (ProviderError("no", 403), AUTHENTICATION, False),
        (AuthenticationError("no"), AUTHENTICATION, False),
        (ProviderError("Missing credentials. Please pass an `api_key`", 500), AUTHENTICATION, False),
        (ProviderError("broke", 402), NO_CREDITS, False),
        (ProviderError('{"code": "insufficient_quota"}', 429), NO_CREDITS, False),
        (ProviderError("Your credit balance is too low", 400), NO_CREDITS, False),
        (ProviderError("slow down", 429), RATE_LIMITED, True),
        (ProviderError('{"code": "content_policy_violation"}', 400), POLICY, False),
        (ProviderError("broken", 500), INTERNAL, True),
        (behind(TransportError("refused"), ProviderError("connection lost", 500)), UNAVAILABLE, True),
        (APIConnectionError("cut", 500), UNAVAILABLE, True),
        (ProviderError("overloaded", 529), UNAVAILABLE, True),
        (ProviderError("late", 408), UNAVAILABLE, True),
        (ReplyCut(), UNAVAILABLE, True),
        (ContextWindowExceededError("too long", 400), OTHER, False),
        (ProviderError("what model", 404), OTHER, False),
        (ProviderError("what parameter", 400), OTHER, False),
        (RuntimeError("a bug"), OTHER, False),
    ],
)
def test_each_class_of_error_has_its_status(error: Exception, status: str, passing: bool) -> None:
    trouble: FailureKind = classify(error)
    assert (trouble.status, trouble.passing) == (status, passing)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("litellm.BadRequestError: OpenAIException - FAULT bad request", "FAULT bad request"),
        ("litellm.Timeout: APITimeoutError - Request timed out. Error_str: Request timed out.", "Request timed out."),
        (
            'litellm.AuthenticationError: AnthropicException - {"type":"error","error":{"message":"invalid key"}}',
            "invalid key",
        ),
        ('litellm.APIError: it broke\nTraceback (most recent call last):\n  File "/srv/app/x.py"', "it broke"),
        ("litellm.ServiceUnavailableError: <html><body>502 Bad Gateway</body></html>", "it answered with a web page"),
        ("cannot read /home/ada/keys/openai.json now", "cannot read <path> now"),
        ("two\n  lines", "two lines"),
        (
            "Cannot connect to host a:9 ssl:<ssl.SSLContext object at 0x7f> [refused]",
            "Cannot connect to host a:9 [refused]",
        ),
    ],
)
def test_the_reason_is_the_providers_own_short_one(text: str, said: str) -> None:
    assert reason(ProviderError(text)) == said


@pytest.mark.parametrize(
    "secret",
    ["my-own-secret", "sk-proj-abcdefghijklmnop1234", "AIzaSyA1234567890abcdefghijklmno", "gsk_abcdefghijklmnopqrst"],
)
def test_no_key_is_ever_told(secret: str) -> None:
    said = failure(ProviderError(f"Incorrect API key provided: {secret}.", 401), ["my-own-secret"])
    assert secret not in said.message
    assert "did not accept the API key" in said.message


def test_a_key_in_an_address_or_a_header_is_not_told() -> None:
    said = reason(ProviderError("GET https://host/v1?key=abc123&x=1 with Authorization: Bearer abc456"))
    assert "abc" not in said


def test_a_message_is_never_longer_than_500_characters() -> None:
    said = failure(ProviderError("x" * 100_000, 400))
    assert len(said.message) <= 500
    assert said.message.startswith("The model's provider refused the request: xxx")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "Wed, 01 Jan 2025 00:01:00 GMT"}, 60.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_the_wait_that_a_provider_asks_for_is_read(headers: dict[str, str] | None, seconds: float | None) -> None:
    midnight = datetime(2025, 1, 1, tzinfo=UTC)
    assert retry_after(ProviderError(headers=headers), lambda: midnight) == seconds
