"""Rows of signed tokens: what a check costs a request."""

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

from openhands_sessions.adapters.auths.revocations import FILE
from openhands_sessions.adapters.auths.token_claims import TokenRules
from openhands_sessions.adapters.auths.tokens import SignedTokens
from openhands_sessions.ports.access import Credentials
from tests.bench import measures
from tests.bench.bench import Bench
from tests.bench.table import Row
from tests.support.token_keys import ed25519_key, public, rsa_key, secret_key, signed, write_jwks

CHECKS = 5_000
USERS = 200
GOAL = 0.1
FIRST_GOAL = 1.0
"""In ms. Afterwards a token is remembered."""
KEYS: dict[str, dict[str, Any]] = {"HS256": secret_key("oct"), "EdDSA": ed25519_key("ed"), "RS256": rsa_key("rsa")}


async def tokens(bench: Bench) -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jwks = await asyncio.to_thread(write_jwks, folder / "keys.json", *map(public, KEYS.values()))
        async with SignedTokens(TokenRules(), folder / FILE, jwks=jwks).noticing() as auth:
            for algorithm, key in KEYS.items():
                shown = [Credentials(key=signed(key, sub=f"user {number}")) for number in range(USERS)]
                first = [await _check(auth, each) for each in shown]
                rows.append(
                    Row(f"a token's first check, {algorithm}, p50", measures.percentile(first, 0.5), "ms", GOAL)
                )
            again = [await _check(auth, shown[number % USERS]) for number in range(CHECKS)]
            rows.append(Row("a token's check per request, p99", measures.percentile(again, 0.99), "ms", GOAL))
    return rows


async def _check(auth: SignedTokens, shown: Credentials) -> float:
    begun = time.perf_counter()
    await auth.identify(shown)
    return (time.perf_counter() - begun) * 1e3
