"""Replays a conversation over and over in a process of its own, so that reading it does not slow who measures."""

import asyncio
import sys

import aiohttp

from tests.bench.measures import replay


async def main(port: int, conversation: str, count: int, rounds: int) -> None:
    async with aiohttp.ClientSession() as http:
        for number in range(rounds):
            await replay(http, port, conversation, count, 1 + number % 2)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
