"""Whose lists are followed, and which conversations have changed since each follower has looked."""

import asyncio
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

from openhands_sessions.core.ids import ConversationId, OwnerId

KEPT = 1_000
"""Changed conversations that are kept for a follower; beyond them it gets a snapshot."""
BATCH = 50
"""Changes that a follower takes at once."""


class ListFollower:
    """What one follower has still to be told: a snapshot, or each changed conversation once, however often it has
    changed. It holds ids alone: what they look like is read when the follower takes them."""

    def __init__(self) -> None:
        self._whole = True
        self._changed: dict[ConversationId, None] = {}
        self._ended = False
        self._news = asyncio.Event()

    def note(self, sid: ConversationId) -> None:
        """The conversation has changed."""
        self._changed[sid] = None
        if len(self._changed) > KEPT:
            self.renew()
        self._news.set()

    def renew(self) -> None:
        """A snapshot comes next."""
        self._whole = True
        self._changed.clear()
        self._news.set()

    def end(self) -> None:
        """Nothing follows what there is."""
        self._ended = True
        self._news.set()

    async def take(self) -> Sequence[ConversationId] | None:
        """Wait for changes; the ids of some, oldest first, or None for a snapshot. Empty at the end."""
        while True:
            self._news.clear()
            if self._whole:
                self._whole = False
                self._changed.clear()  # a snapshot that is read from now on has them
                return None
            if self._changed or self._ended:
                taken = [*islice(self._changed, BATCH)]
                for sid in taken:
                    del self._changed[sid]
                return taken
            await self._news.wait()


class ListFeed:
    """The list of one user, while it is followed."""

    def __init__(self) -> None:
        self.followers: set[ListFollower] = set()
        self.guest_of: set[ConversationId] = set()
        """Conversations of others that are shared with the user."""
        self._shown: dict[ConversationId, Hashable] = {}
        """What rows of live sessions show, as of the newest change."""

    def changed(self, sid: ConversationId) -> None:
        for follower in self.followers:
            follower.note(sid)

    def session_changed(self, sid: ConversationId, shown: Hashable) -> None:
        """A session has changed: a change of the list only where its row now shows something else."""
        if self._shown.get(sid) != shown:
            self._shown[sid] = shown
            self.changed(sid)

    def session_ended(self, sid: ConversationId) -> None:
        self._shown.pop(sid, None)
        self.changed(sid)


class ListFeeds:
    """The feeds of all users whose lists are followed. A change of another user's costs one look."""

    def __init__(self) -> None:
        self._feeds: dict[OwnerId, ListFeed] = {}
        self._guests: dict[ConversationId, set[OwnerId]] = {}
        """Users in whose followed lists conversations of others stand."""
        self._ended = False

    def find(self, owner: OwnerId) -> ListFeed | None:
        """The user's feed; None where the list is not followed."""
        return self._feeds.get(owner)

    def of(self, owner: OwnerId, sid: ConversationId) -> Sequence[ListFeed]:
        """The feeds of followed lists in which a conversation of this owner stands."""
        feed, guests = self._feeds.get(owner), self._guests.get(sid)
        if guests is None:
            return () if feed is None else (feed,)
        return [found for user in (owner, *guests) if (found := self._feeds.get(user)) is not None]

    def changed(self, owner: OwnerId, sid: ConversationId) -> None:
        """A row of this owner's shows something else, has come, or is gone."""
        for feed in self.of(owner, sid):
            feed.changed(sid)

    def join(self, user: OwnerId, sids: Iterable[ConversationId]) -> None:
        """These conversations of others stand in this user's list."""
        if (feed := self._feeds.get(user)) is not None:
            for sid in sids:
                feed.guest_of.add(sid)
                self._guests.setdefault(sid, set()).add(user)

    def shared(self, user: OwnerId, sid: ConversationId) -> None:
        """A conversation of somebody else's has come into this user's list, or this user may do something else with
        it."""
        if (feed := self._feeds.get(user)) is not None:
            self.join(user, [sid])
            feed.changed(sid)

    def unshared(self, user: OwnerId, sid: ConversationId) -> None:
        """A conversation of somebody else's stands in this user's list no more."""
        if (feed := self._feeds.get(user)) is not None:
            self._leave(user, sid)
            feed.guest_of.discard(sid)
            feed.changed(sid)

    @contextmanager
    def follower(self, owner: OwnerId) -> Iterator[ListFollower]:
        """One more follower of the user's list, until the end of the block."""
        follower = ListFollower()
        if self._ended:
            follower.end()
        feed = self._feeds.setdefault(owner, ListFeed())
        feed.followers.add(follower)
        try:
            yield follower
        finally:
            feed.followers.discard(follower)
            if not feed.followers and self._feeds.get(owner) is feed:
                del self._feeds[owner]
                for sid in feed.guest_of:
                    self._leave(owner, sid)

    def renew(self) -> None:
        """Rows of any user show something else: a snapshot comes next for every follower."""
        for feed in self._feeds.values():
            for follower in feed.followers:
                follower.renew()

    def end(self) -> None:
        """Let every follower take what there is, then end."""
        self._ended = True
        for feed in self._feeds.values():
            for follower in feed.followers:
                follower.end()

    def _leave(self, user: OwnerId, sid: ConversationId) -> None:
        guests = self._guests.get(sid, set())
        guests.discard(user)
        if not guests:
            self._guests.pop(sid, None)
