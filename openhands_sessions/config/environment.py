"""The secrets in a server's environment: its own settings, and the keys of models' providers."""

from collections.abc import Mapping, MutableMapping

from pydantic import SecretStr

from openhands_sessions.config.loading import settings
from openhands_sessions.config.session_key import VARIABLES

ENDINGS = ("_API_KEY", "_APIKEY", "_API_TOKEN", "_AUTH_TOKEN")
OTHERS = frozenset(
    {
        "AIMLAPI_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_BEARER_TOKEN_BEDROCK",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AZURE_AD_TOKEN",
        "COMETAPI_KEY",
        "FIREWORKS_AI_TOKEN",
        "FRIENDLI_TOKEN",
        "GIGACHAT_ACCESS_TOKEN",
        "GIGACHAT_CREDENTIALS",
        "HF_TOKEN",
        "JINA_AI_TOKEN",
        "RUNWAYML_API_SECRET",
        "SCW_SECRET_KEY",
        "SNOWFLAKE_JWT",
        "TOGETHER_AI_TOKEN",
        "VERCEL_OIDC_TOKEN",
        "VERTEXAI_CREDENTIALS",
        "VERTEX_CREDENTIALS",
        "VOYAGE_AI_TOKEN",
        "WATSONX_TOKEN",
        "WATSONX_ZENAPIKEY",
    }
)
"""The names that litellm reads keys from: by their ending, and those with another one. Written down here, because
loading litellm takes seconds."""
SHORTEST_KEY = 8
"""In characters. Shorter ones are placeholders, such as `none` or `dummy`: to mask them would hide words."""


def provider_keys(environ: Mapping[str, str]) -> dict[str, SecretStr]:
    """The keys of providers by their variables."""
    return {name: SecretStr(text) for name, text in environ.items() if text and _is_providers(name)}


def to_mask(keys: Mapping[str, SecretStr]) -> list[SecretStr]:
    """The keys that are long enough to be masked."""
    return [key for key in keys.values() if len(key.get_secret_value()) >= SHORTEST_KEY]


def forget_secrets(environ: MutableMapping[str, str]) -> None:
    """Remove every variable that holds a secret of the server, so that no program that it starts has it."""
    own = {setting.variable for setting in settings().values() if setting.secret} | set(VARIABLES)
    for name in [name for name in environ if _is_providers(name) or name.upper() in own]:
        del environ[name]


def _is_providers(name: str) -> bool:
    return not name.upper().startswith("OHS_") and (name.endswith(ENDINGS) or name in OTHERS)
