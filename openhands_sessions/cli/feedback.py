"""`sessions feedback`: what a person thinks of a conversation becomes an event of it."""

from openhands_sessions.cli.output import print_json
from openhands_sessions.cli.sessions import ConversationsTarget, find
from openhands_sessions.core.commands import GiveFeedback
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.own import FeedbackKind
from openhands_sessions.core.ids import EventId
from openhands_sessions.ports.access import Access


def feedback(target: ConversationsTarget, sid: str, said: GiveFeedback, *, as_json: bool) -> int:
    """Give it, and print which event it is."""
    number = target.ask(lambda access: _give(access, sid, said))
    if as_json:
        print_json({"id": number})
    else:
        about = "the conversation" if said.about is None else f"event {said.about}"
        print(f"{said.feedback} for {about} is event {number}.")
    return 0


def feedback_command(kind: str, about: int | None, comment: str) -> GiveFeedback:
    """The command for a kind as a user writes it. Raises BadInput."""
    try:
        feedback = FeedbackKind(kind)
    except ValueError:
        raise BadInput(f"the feedback {kind!r}", f"must be one of {', '.join(FeedbackKind)}") from None
    return GiveFeedback(feedback=feedback, about=None if about is None else EventId(about), comment=comment)


async def _give(access: Access, sid: str, said: GiveFeedback) -> EventId:
    found = await find(access, sid)
    return (await access.gateway.submit(found.id, said)).id
