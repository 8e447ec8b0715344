"""Work beside the caller's."""

from __future__ import annotations

import threading

import pytest

from edgecv_cli.inference.aside import Aside


def running() -> int:
    return sum(thread.name == "edgecv-test" for thread in threading.enumerate())


def test_everything_is_done_in_its_order_by_one_other_thread() -> None:
    seen: list[tuple[int, int]] = []
    aside = Aside(
        lambda item: seen.append((item, threading.get_ident())), name="edgecv-test", depth=2
    )
    for number in range(50):
        aside.put(number)
    aside.finish()

    assert [number for number, _ in seen] == list(range(50))
    assert {thread for _, thread in seen} - {threading.get_ident()} == {seen[0][1]}
    assert running() == 0


def test_no_more_wait_than_there_is_room_for() -> None:
    go, given = threading.Semaphore(0), []
    aside = Aside(lambda _: go.acquire() and None, name="edgecv-test", depth=2)

    def give() -> None:
        for number in range(6):
            aside.put(number)
            given.append(number)

    giver = threading.Thread(target=give)
    giver.start()
    giver.join(0.2)
    assert len(given) <= 3  # one is worked on, two wait
    for _ in range(6):
        go.release()
    giver.join(10)
    aside.finish()
    assert given == list(range(6))


@pytest.mark.parametrize("more", [0, 5])
def test_what_fails_is_said_at_the_next_item_or_at_the_end(more: int) -> None:
    def fail(item: int) -> None:
        raise OSError(28, f"no room for {item}")

    aside = Aside(fail, name="edgecv-test", depth=1)
    aside.put(0)

    def give_more() -> None:
        for number in range(1, more + 1):
            aside.put(number)
        aside.finish()

    with pytest.raises(OSError, match="no room for 0"):
        give_more()
    aside.abandon()
    assert running() == 0


def test_what_is_abandoned_is_not_done() -> None:
    begun, go = threading.Event(), threading.Event()
    seen: list[int] = []

    def work(item: int) -> None:
        begun.set()
        go.wait(10)
        seen.append(item)

    aside = Aside(work, name="edgecv-test")
    for number in range(3):
        aside.put(number)
    begun.wait(10)
    threading.Timer(0.05, go.set).start()
    aside.abandon()
    aside.abandon()
    assert seen == [0]
    assert running() == 0
