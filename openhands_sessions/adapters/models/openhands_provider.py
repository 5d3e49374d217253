"""The provider `openhands`, which the V0 client proposes first: a litellm proxy that its makers run."""

from dataclasses import replace

from openhands_sessions.adapters.models.failures import NO_KEY, model_failure
from openhands_sessions.ports.model import ModelSpec

ADDRESS = "https://llm-proxy.app.all-hands.dev/"
_PREFIX = "openhands/"
NAMES = tuple(
    f"{_PREFIX}{name}"
    for name in (
        *("claude-haiku-4-5-20251001", "claude-opus-4-1-20250805", "claude-opus-4-20250514"),
        *("claude-sonnet-4-20250514", "claude-sonnet-4-5-20250929", "devstral-medium-2507", "devstral-small-2505"),
        *("devstral-small-2507", "gemini-2.5-pro", "gpt-5-2025-08-07", "gpt-5-mini-2025-08-07", "kimi-k2-0711-preview"),
        *("o3", "o4-mini", "qwen3-coder-480b"),
    )
)
"""The models of the provider that the V0 client 0.62.0 knows, the one that it preselects among them."""


def routed(spec: ModelSpec) -> ModelSpec:
    """The model as litellm reaches it; those of other providers as they are. Raises ModelFailure without a key."""
    name = spec.name.removeprefix(_PREFIX)
    if name == spec.name:
        return spec
    if spec.api_key is None and spec.base_url is None:
        raise model_failure(NO_KEY, "give the conversation one of the provider `openhands`")
    return replace(spec, name=f"litellm_proxy/{name}", base_url=spec.base_url or ADDRESS)
