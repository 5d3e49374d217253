"""Gives litellm the provider keys that it would otherwise read from the environment."""

import importlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

_AWS_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
"""In lower case, they are arguments of a call."""
_ON_AWS = ("bedrock", "sagemaker")
_SHORTEST_SECRET = 8
_LITELLM_SETTINGS = ("secret_manager_client", "_key_management_system", "_key_management_settings")


class HeldKeys:
    """The keys by their variables. litellm asks for those that are held, and takes others from the environment."""

    def __init__(self, litellm: Any, keys: Mapping[str, str]) -> None:
        self.keys = keys
        self._litellm = litellm
        self._before = {name: getattr(litellm, name) for name in _LITELLM_SETTINGS}
        if keys:
            types = importlib.import_module("litellm.types.secret_managers.main")
            litellm.secret_manager_client = _client(keys)
            litellm._key_management_system = types.KeyManagementSystem.CUSTOM
            litellm._key_management_settings = types.KeyManagementSettings(hosted_keys=list(keys))

    @property
    def secrets(self) -> Sequence[str]:
        """Those that must not be shown; shorter ones are placeholders, such as `none`, and would hide words."""
        return [key for key in self.keys.values() if len(key) >= _SHORTEST_SECRET]

    def arguments(self, provider: str) -> dict[str, str]:
        """What a call to a provider is given: for AWS all that belongs together, else the key that is named after the
        provider, which litellm asks for in other ways, too."""
        if provider.startswith(_ON_AWS):
            return {name.lower(): self.keys[name] for name in _AWS_VARIABLES if name in self.keys}
        key = self.keys.get(f"{provider.upper()}_API_KEY")
        if key is None and provider == "huggingface":
            key = self.keys.get("HF_TOKEN")
        return {} if key is None else {"api_key": key}

    def release(self) -> None:
        """Leave litellm as it was."""
        for name, value in self._before.items():
            setattr(self._litellm, name, value)


def _client(keys: Mapping[str, str]) -> Any:
    """What litellm calls the client of a secret manager."""

    def read(self: object, secret_name: str, **options: object) -> str | None:
        return keys.get(secret_name, os.environ.get(secret_name))

    async def read_async(self: object, secret_name: str, **options: object) -> str | None:
        return read(self, secret_name)

    base: Any = importlib.import_module("litellm.integrations.custom_secret_manager").CustomSecretManager
    made: Any = type("HeldKeysClient", (base,), {"sync_read_secret": read, "async_read_secret": read_async})
    return made()
