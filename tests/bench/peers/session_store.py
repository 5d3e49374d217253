"""praisonaiagents' DefaultSessionStore, which keeps every message: what it takes to append a turn's messages.

python session_store.py FOLDER MESSAGES"""

import json
import sys
import time

from praisonaiagents.session.store import DefaultSessionStore

TEXT = "x" * 200
TIMES = 4


def main() -> None:
    folder, count = sys.argv[1], int(sys.argv[2])
    store = DefaultSessionStore(session_dir=folder, retention="keep_all")
    store.set_chat_history("long", [{"role": "user", "content": TEXT} for _ in range(count)])
    times = []
    for _ in range(TIMES):
        begun = time.perf_counter()
        store.add_message("long", "user", TEXT)
        store.add_message("long", "assistant", TEXT)
        times.append(time.perf_counter() - begun)
    if len(store.get_session("long").messages) != count + 2 * TIMES:
        raise SystemExit("it has not kept every message")
    sys.stdout.write(json.dumps({"append": sorted(times)[int(TIMES * 0.95)] * 1e3}) + "\n")


main()
