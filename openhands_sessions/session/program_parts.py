"""What a session that a program runs is built from."""

from dataclasses import replace

from openhands_sessions.core.layered_settings import LayeredSettings
from openhands_sessions.ports.program import ProgramAgent
from openhands_sessions.session.dependencies import Dependencies, Participant


def parts_for(agent: ProgramAgent, parts: Dependencies, settings: LayeredSettings) -> Dependencies:
    """The parts of a server, with the program's agents; the tools of a sandbox only for those that have one."""
    agents = (agent, *agent.others)
    parts = replace(parts, participants=tuple(_participant(each, settings) for each in agents))
    if agent.runtimes is None or any(each.runtimes is None for each in agents):
        return parts
    return replace(parts, runtimes=agent.runtimes, tools=(), ipython=None)


def under(settings: LayeredSettings, agent: ProgramAgent) -> LayeredSettings:
    """The settings whose last layer is the first agent's, with that of another one in its place."""
    return replace(settings, owners=(*settings.owners[:-1], agent.settings))


def _participant(agent: ProgramAgent, settings: LayeredSettings) -> Participant:
    return Participant(
        settings_of=under(settings, agent).settings,
        name=agent.name,
        prompt=agent.prompt,
        functions=agent.functions,
        sandbox=agent.runtimes is None,
        handoffs=agent.handoffs,
        app=agent.app,
    )
