"""LangGraph with its SQLite checkpointer: what a checkpoint, a branch and a restore take in a thread of many messages.

python sqlite_saver.py FOLDER MESSAGES"""

import json
import operator
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph

TEXT = "x" * 200
TIMES = 5


class Dialogue(TypedDict):
    messages: Annotated[list[dict[str, str]], operator.add]


def _message(role: str) -> dict[str, str]:
    return {"role": role, "content": TEXT}


def _milliseconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1e3


def main() -> None:
    database, count = Path(sys.argv[1]) / "threads.db", int(sys.argv[2])
    thread: Any = {"configurable": {"thread_id": "long"}}
    building = StateGraph(Dialogue)
    building.add_node("answer", lambda state: {"messages": [_message("assistant")]})
    building.add_edge(START, "answer")
    with SqliteSaver.from_conn_string(str(database)) as saver:
        graph = building.compile(checkpointer=saver)
        early = graph.update_state(thread, {"messages": [_message("user")] * count}, as_node="answer")
        before = _stored(saver)
        checkpoint = [_milliseconds(lambda: _said(graph, thread)) for _ in range(TIMES)]
        size = (_stored(saver) - before) / TIMES
        restore = [_milliseconds(lambda: graph.get_state(early)) for _ in range(TIMES)]
        branch = [_milliseconds(lambda: _said(graph, early)) for _ in range(TIMES)]
    figures = {"checkpoint": checkpoint, "branch": branch}
    medians = {name: statistics.median(times) for name, times in figures.items()}
    sys.stdout.write(json.dumps({**medians, "restore": max(restore), "bytes": size / 1e3}) + "\n")


def _said(graph: Any, config: Any) -> None:
    graph.update_state(config, {"messages": [_message("user")]}, as_node="answer")


def _stored(saver: SqliteSaver) -> int:
    """Bytes of its database."""
    [(size,)] = saver.conn.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
    return int(size)


main()
