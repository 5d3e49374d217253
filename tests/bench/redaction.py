"""Rows of redaction: what the search for secrets costs an output."""

import random
import time
from collections.abc import Callable
from pathlib import Path

from openhands_sessions.core.masking import SecretMasker, StreamMasker
from tests.bench.bench import Bench
from tests.bench.table import Row
from tests.support.secret_placements import known_secret

SECRETS = 50
SIZE = 30_000
PIECE = 100
GOAL = 1.0
"""In ms."""
TIMES = 50


async def redaction(bench: Bench) -> list[Row]:
    of = random.Random(1)
    secrets = [known_secret(of) for _ in range(SECRETS)]
    masker = SecretMasker(secrets)
    code = "".join(path.read_text() for path in sorted(Path(__file__).parent.glob("*.py")))[:SIZE]
    step = (SIZE - sum(map(len, secrets))) // SECRETS
    among = "".join(code[number * step : (number + 1) * step] + secret for number, secret in enumerate(secrets))
    reply = [code[start : start + PIECE] for start in range(0, SIZE, PIECE)]

    def told() -> None:
        stream = StreamMasker(masker)
        for piece in reply:
            stream.feed(piece)

    return [
        Row("redaction of 30 KB of code, 50 secrets known", _least(lambda: masker.text(code)), "ms", GOAL),
        Row("redaction of 30 KB with all 50 in it", _least(lambda: masker.text(among)), "ms", GOAL),
        Row("redaction of a streamed piece of 100 characters", _least(told) / len(reply), "ms", 0.05),
        Row("a redactor for 50 secrets", _least(lambda: SecretMasker(secrets)), "ms", 20),
    ]


def _least(work: Callable[[], object]) -> float:
    """Milliseconds of CPU, the least of some tries: what else the machine does is not measured."""
    times = []
    for _ in range(TIMES):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return min(times) * 1e3
