"""The feeds of all conversations that are followed or worked on."""

from weakref import WeakValueDictionary

from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.gateway import EndReason, Status
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.feed import Feed


class Feeds:
    """One feed per conversation, for as long as a session or a follower holds it."""

    def __init__(self, store: SessionStore) -> None:
        self._store = store
        self._feeds: WeakValueDictionary[ConversationId, Feed] = WeakValueDictionary()

    def of(self, sid: ConversationId) -> Feed:
        """The conversation's feed; a new one where the last one has ended."""
        feed = self._feeds.get(sid)
        if feed is None or feed.ended:
            feed = self._feeds[sid] = Feed(self._store.log(sid))
        return feed

    def publish_transient(self, sid: ConversationId, status: Status) -> None:
        """Send a status to those who follow the conversation."""
        if (feed := self._feeds.get(sid)) is not None:
            feed.publish_transient(status)

    def end(self, sid: ConversationId, reason: EndReason) -> None:
        """Send the followers of a conversation away once they have read what is stored."""
        if (feed := self._feeds.get(sid)) is not None:
            feed.end(reason)

    def end_all(self, reason: EndReason) -> None:
        for feed in list(self._feeds.values()):
            feed.end(reason)
