"""A user's credentials for tools, as a live session has them: refreshed by their owner, they count from the next call
on."""

from openhands_sessions.core.masking import SecretMasker
from openhands_sessions.core.mcp_servers import McpConfig
from openhands_sessions.core.settings import SessionSettings, environment, sandbox_secrets, secrets


class LiveCredentials:
    """`environment` and `secrets` are what the sandbox is given with each action. Values that are not used any more
    stay masked: what runs may know them."""

    def __init__(self, settings: SessionSettings, masker: SecretMasker) -> None:
        self.environment = environment(settings)
        self.secrets = [*sandbox_secrets(settings)]
        self._mcp = settings.mcp_config
        self.masker = masker

    def mcp(self) -> McpConfig | None:
        """The servers with their keys as they are now."""
        return self._mcp

    def refresh(self, settings: SessionSettings) -> None:
        """Use the values of these settings from now on. They are masked before they are used."""
        self.masker.add(secrets(settings))
        new = [secret for secret in sandbox_secrets(settings) if secret not in self.secrets]
        self.secrets[:0] = new
        self.environment.update(environment(settings))
        self._mcp = settings.mcp_config
