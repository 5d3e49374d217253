"""Chooses the family that a model's name belongs to."""

from openhands_sessions.ports.model import ChatModel, ChatModels, ModelSpec


class ModelChoice:
    """`scripted` and `scripted:NAME` play a script; every other name is the provider family's."""

    def __init__(self, scripted: ChatModels, providers: ChatModels) -> None:
        self._scripted = scripted
        self._providers = providers

    async def open(self, spec: ModelSpec) -> ChatModel:
        family = self._scripted if spec.name.partition(":")[0] == "scripted" else self._providers
        return await family.open(spec)
