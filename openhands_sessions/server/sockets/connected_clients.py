"""python-socketio's list of clients, with a cost for each that does not grow with their number."""

from typing import Any

import socketio


class _Pending(dict[str, None]):
    """The clients that are about to connect or to leave: python-socketio has a list, which it searches each time."""

    def append(self, sid: str) -> None:
        self[sid] = None

    def remove(self, sid: str) -> None:
        del self[sid]


class _PendingByNamespace(dict[str, Any]):
    def __setitem__(self, namespace: str, listed: object) -> None:
        super().__setitem__(namespace, _Pending())


class ConnectedClients(socketio.AsyncManager):  # type: ignore[misc]  # python-socketio has no types
    """For a server whose clients are in no rooms but their own and everybody's."""

    def __init__(self) -> None:
        super().__init__()
        self.pending_connect = _PendingByNamespace()
        self.pending_disconnect = _PendingByNamespace()

    def basic_disconnect(self, sid: str, namespace: str, **options: object) -> None:
        """Forget a client. python-socketio looks through the rooms of all clients for it."""
        for room in (None, sid):
            self.basic_leave_room(sid, namespace, room)
        self.callbacks.pop(sid, None)
        for pending in (self.pending_connect, self.pending_disconnect):
            if sid in pending.get(namespace, ()):
                pending[namespace].remove(sid)
                if not pending[namespace]:
                    del pending[namespace]
