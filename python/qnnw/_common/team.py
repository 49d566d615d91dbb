"""A piece of work for each of some items, side by side."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Team:
    """Threads that share out work, the one that asks among them.

    Parameters
    ----------
    threads
        How many, with the one that asks.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None

    def map(self, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """The results in the items' order; what an item raises is raised when all have ended."""
        results: dict[int, Result] = {}
        waiting = deque(range(len(items)))

        def take_part() -> None:
            while waiting:
                try:
                    index = waiting.popleft()
                except IndexError:  # another thread was quicker
                    return
                results[index] = work(items[index])

        helpers = []
        if self._pool is not None:
            helpers = [
                self._pool.submit(take_part) for _ in range(min(self._threads, len(items)) - 1)
            ]
        try:
            take_part()
        except BaseException:
            waiting.clear()
            raise
        finally:
            # Nobody is at work on what the caller may use again.
            for helper in helpers:
                helper.exception()
        for helper in helpers:
            helper.result()
        return [results[index] for index in range(len(items))]

    def close(self) -> None:
        """Stop the threads."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
