"""What a provider complains of is known by its words, whoever it is."""

import pytest

from openhands_sessions.adapters.models.failures import ReplyCut, classify, failure
from openhands_sessions.core.errors import Refusal
from tests.unit.models.test_failures import ProviderError

TOO_LONG = [
    (400, "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."),
    (400, "This endpoint's maximum context length is 60000 tokens. However, you requested about 90000 tokens."),
    (400, '{"error":{"code":"context_length_exceeded","message":"Your input exceeds the context window."}}'),
    (400, "prompt is too long: 205000 tokens > 200000 maximum"),
    (400, "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length"),
    (400, "The input token count (1234567) exceeds the maximum number of tokens allowed (1048576)."),
    (400, "ValidationException: Input is too long for requested model."),
    (400, "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length"),
    (400, "too many tokens: total number of tokens in the prompt cannot exceed 4081"),
    (400, "Please reduce the length of the messages or completion. Current length is 8200 while limit is 8192"),
    (413, "Request too large for model `llama-3.1-8b` on tokens per minute (TPM): Limit 6000, Requested 8000"),
    (429, "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 45000. The input or output "
          "tokens must be reduced in order to run successfully."),
    (400, "This model's maximum prompt length is 131072 but the request contains 537812 tokens."),
    (400, "the request exceeds the available context size, try increasing it"),
    (500, '{"error":{"code":400,"type":"exceed_context_size_error","n_ctx":4096}}'),
    (400, "input length exceeds maximum context length"),
    (400, "Trying to keep the first 9000 tokens when context the overflows. However, the model is loaded with context "
          "length of only 4096 tokens, which is not enough; the number of tokens to keep from the initial prompt is "
          "greater than the context length"),
    (400, "The decoder prompt (length 5000) is longer than the maximum model length of 4096."),
    (422, "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4100 `inputs` tokens"),
    (413, "Input validation error: `inputs` must have less than 1024 tokens. Given: 2000"),
    (400, "The prompt is too long: 140000, model maximum context length: 131071"),
    (400, "prompt token count of 128500 exceeds the limit of 128000"),
    (400, "Invalid request: Your request exceeded model token limit: 131072 (requested: 140000)"),
    (400, "Prompt 超长"),
    (400, "Prompt exceeds max length"),
    (400, "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 30720]"),
    (400, "invalid params, context window exceeds limit (2013)"),
    (400, "The input (5000 tokens) is longer than the model's context length (4096 tokens)."),
    (400, "Requested token count exceeds the model's maximum context length of 8192 tokens."),
    (None, "CONTEXT_LENGTH_EXCEEDED"),
]  # fmt: skip
IMAGE = [
    (400, "Could not process image"),
    (400, "Unable to process input image. Please retry or report"),
    (400, "You uploaded an unsupported image. Please make sure your image has of one the following formats"),
    (400, "messages.1.content.0.image.source.base64: Image does not match the provided media type image/png"),
    (400, "messages.3.content.1.image.source.base64: image exceeds 5 MB maximum: 7000000 bytes > 5242880 bytes"),
    (400, "At least one of the image dimensions exceed max allowed size: 8000 pixels"),
    (404, "No endpoints found that support image input"),
    (400, "Failed to deserialize the JSON body into the target type: messages[1]: unknown variant `image_url`"),
    (500, "cannot identify image file <_io.BytesIO object>"),
    (400, "Invalid content type. image_url is only supported by certain models."),
    (400, "model does not support multimodal content"),
]
FORM = [
    (400, "messages: tool_use ids must be unique"),
    (400, "messages.2: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_01"),
    (400, "Tool call id was call_abcdef but must be a-z, A-Z, 0-9, with a length of 9."),
    (400, "Invalid 'messages[2].tool_calls[0].id': string too long. Expected a string with maximum length 40"),
    (400, "Conversation roles must alternate user/assistant/user/assistant/..."),
    (400, "System role not supported"),
    (400, "Unexpected role 'user' after role 'tool'"),
    (400, "messages: text content blocks must be non-empty"),
    (400, "This model does not support assistant message prefill. The conversation must end with a user message."),
    (400, "messages.1.content.0: Invalid `signature` in `thinking` block"),
    (
        400,
        "Please ensure that function call turn comes immediately after a user turn or after a function response turn.",
    ),
    (500, "Error rendering prompt with jinja template: Expected iterable type"),
    (400, "Missing `reasoning_content` field in the assistant message at message index 2"),
    (422, "messages.2.name: Extra inputs are not permitted"),
]


@pytest.mark.parametrize(
    ("refused", "status", "text"),
    [
        *[(Refusal.TOO_LONG, status, text) for status, text in TOO_LONG],
        *[(Refusal.IMAGE, status, text) for status, text in IMAGE],
        *[(Refusal.FORM, status, text) for status, text in FORM],
        (Refusal.TOO_LARGE, 413, "<html><h1>413 Request Entity Too Large</h1></html>"),
        (Refusal.TOO_LARGE, 413, '{"type":"request_too_large","message":"Request exceeds the maximum size"}'),
        (Refusal.IMAGE, 400, '{"code": "content_policy_violation"}'),
        (Refusal.UNKNOWN, 400, "Bad request"),
        (Refusal.UNKNOWN, 422, "Unprocessable"),
    ],
)
def test_what_is_refused_is_known_by_the_providers_words(refused: Refusal, status: int | None, text: str) -> None:
    assert failure(ProviderError(text, status)).refusal is refused


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (401, "Invalid API key in the prompt"),
        (402, "This request requires more credits, or fewer max_tokens: too many tokens"),
        (429, "Rate limit reached on tokens per min (TPM): Limit 30000, Used 29000, Requested 5000"),
        (429, "Too many tokens, please wait before trying again."),
        (429, "This model's maximum context length was asked for too often"),
        (503, "overloaded"),
        (503, "The service is unavailable; your request id is 7"),
        (500, "An error occurred; the request ID is 7"),
        (502, "The vision of a gateway"),
        (404, "The model does not exist"),
    ],
)
def test_no_history_is_to_blame_where_the_status_says_so(status: int, text: str) -> None:
    assert failure(ProviderError(text, status)).refusal is None


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens is too large: 100000. This model supports at most 4096 completion tokens.",
        "max_completion_tokens exceeds the maximum number of tokens allowed",
    ],
)
def test_a_limit_on_the_output_is_none_on_the_history(text: str) -> None:
    assert failure(ProviderError(text, 400)).refusal is Refusal.UNKNOWN


@pytest.mark.parametrize(("status", "text"), TOO_LONG)
def test_what_is_too_long_is_not_sent_again_unchanged(status: int | None, text: str) -> None:
    kind = classify(ReplyCut(text, status))
    assert not kind.passing
    assert kind.sentence == "The conversation is longer than the model can read"


def test_a_providers_words_are_shown_without_json_escapes() -> None:
    error = ProviderError(r'{"error":{"message":"Reduce it, or use the \"middle-out\" transform of a\/b."}}', 400)
    assert 'use the "middle-out" transform of a/b' in failure(error).message
