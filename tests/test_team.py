"""Threads that share out work."""

from __future__ import annotations

import threading
import time

import pytest

from qnnw._common.team import Team

WAIT = 30  # seconds, at most


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 40])
def test_results_are_in_the_order_of_the_items(threads, count):
    team = Team(threads)
    assert team.map(lambda item: item * item, range(count)) == [n * n for n in range(count)]
    assert team.map(str, ["a", "b"]) == ["a", "b"]
    team.close()


def test_as_many_are_at_work_at_once_as_it_has_threads_the_caller_among_them():
    team, together = Team(3), threading.Barrier(3)

    def meet(_item):
        together.wait(WAIT)
        return threading.get_ident()

    seen = team.map(meet, range(3))
    assert len(set(seen)) == 3
    assert threading.get_ident() in seen
    team.close()


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("bad", [0, 1, 5])
def test_what_an_item_raises_comes_when_nobody_is_at_work_any_more(threads, bad):
    team, at_work = Team(threads), []

    def work(item):
        at_work.append(item)
        time.sleep(0.01)
        at_work.remove(item)
        if item == bad:
            raise ValueError(f"item {item}")
        return item

    with pytest.raises(ValueError, match=f"item {bad}"):
        team.map(work, range(6))
    assert at_work == []
    assert team.map(lambda item: item, range(4)) == [0, 1, 2, 3]
    team.close()
