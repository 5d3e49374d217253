"""Recognises, by a provider's words, what in a conversation's history it refused.

The words are those of OpenAI, Azure, Anthropic, Gemini, Bedrock, Mistral, Cohere, DeepSeek, xAI, Groq, Cerebras,
OpenRouter, Together, Fireworks, Moonshot, DashScope, Zhipu, MiniMax, GitHub's models, vLLM, SGLang, TGI, llama.cpp,
Ollama and LM Studio, each as its documentation or a public bug report has them.
"""

import re

from openhands_sessions.core.errors import Refusal

# The patterns are compiled when first used: at import that would slow every start.
_WHAT = r"(?:context|prompt|input|inputs|request|messages?|conversation|query|tokens?)"
_LIMIT = r"(?:context|sequence length|maximum model length|(?:token|length|input|prompt) limit)"
_TOO_LONG = "|".join(
    (
        r"context[ _-]?(?:length|window|size|limit)\w*[^.]{0,80}(?:exceed|overflow|limit|small|full)",
        rf"(?:exceed|overflow|greater than|longer than|larger than|beyond)[^.]{{0,80}}{_LIMIT}",
        r"context[ _](?:length|window)[ _]exceeded|exceed_context_size|model_max_prompt_tokens",
        r"max(?:imum)?(?: allowed)? (?:context|prompt|model|input|sequence|content)[ _-]?(?:length|size|tokens)",
        rf"\b{_WHAT}\b[^.]{{0,60}}\b(?:too (?:long|large|big|many)|longer than|exceed)|超长",
        r"exceed(?:s|ed|ing)?\b[^.]{0,40}max(?:imum)? (?:length|(?:number of )?(?:input )?tokens)",
        r"too many (?:input |prompt )?tokens(?! ?per| ?, please wait)|string_above_max_length",
        r"reduce (?:the length|your (?:prompt|message|input))|must be reduced in order to run",
        r"inputs?`? tokens \+|must have less than \d+ tokens|range of input length",
        r"tokens to keep from the initial prompt",
    )
)
_OUTPUT_ONLY = r"max_(?:completion_|output_|new_)?tokens|completion tokens"
_INPUT = r"\b(?:context|prompt|inputs?|messages?|conversation)\b"
_NEVER_SMALL_ENOUGH = r"must be reduced in order to run|request too large for"
"""What providers say of a request that is larger than a whole minute's allowance: waiting does not help."""
_TOO_LARGE = r"request_too_large|(?:entity|payload|body) too large|request size exceeded|maximum size"
_IMAGE = r"\b(?:image|picture|vision|multi-?modal)s?\b|image_|_image|media[ _]type"
_FORM = (
    r"\brole|tool_(?:use|call|result)|tool[ -]call|tool_?id|function (?:call|response|turn)|alternat|prefill|signature|"
    r"thinking|reasoning|non-?empty|must not be empty|extra inputs|additional propert|unknown (?:field|name)|template|"
    r"\bids?\b|message (?:format|type)|messages?[.\[]\d"
)
_FORM_AT_FAULT = r"template|alternat|\broles?\b"
"""The same, from servers that call it an error of their own."""


def too_long(text: str, status: int | None) -> bool:
    """Whether a provider that answered with this text, in lower case, says that the request has too many tokens."""
    if status == 429:
        return re.search(_NEVER_SMALL_ENOUGH, text) is not None
    if re.search(_OUTPUT_ONLY, text) and not re.search(_INPUT, text):
        return False
    return re.search(_TOO_LONG, text) is not None and not too_large(text, status)


def too_large(text: str, status: int | None) -> bool:
    """Whether it says that the request has too many bytes."""
    return re.search(_TOO_LARGE, text) is not None or (status == 413 and not re.search(_TOO_LONG, text))


def refusal(text: str, status: int | None) -> Refusal | None:
    """Which part of the history the text, in lower case, complains of; None where the status says that the history is
    not the cause."""
    if too_long(text, status):
        return Refusal.TOO_LONG
    if too_large(text, status):
        return Refusal.TOO_LARGE
    if re.search(_IMAGE, text):
        return Refusal.IMAGE
    if re.search(_FORM if status is not None and status < 500 else _FORM_AT_FAULT, text):
        return Refusal.FORM
    return Refusal.UNKNOWN if status in (400, 413, 415, 422) else None
