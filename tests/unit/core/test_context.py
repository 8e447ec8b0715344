"""The defaults of a context are silent, hermetic and its own."""

import pytest

from edgecv_cli.core.context import SYSTEM, Cancel, Context
from edgecv_cli.core.errors import InterruptedByUser


def test_the_default_progress_says_nothing(capfd):
    context = Context()
    with context.progress.task("observe", 3) as task:
        task.advance(2)
        task.describe("best so far")
    context.progress.note("a note")
    assert capfd.readouterr() == ("", "")


def test_a_cancel_that_is_set_interrupts_at_the_next_check():
    cancel = Cancel()
    cancel.check()
    assert not cancel.is_set
    cancel.set()
    assert cancel.is_set
    with pytest.raises(InterruptedByUser) as caught:
        cancel.check()
    assert caught.value.exit_code == 130


def test_contexts_share_neither_cache_nor_cancel():
    one, other = Context(), Context()
    one.store.put("a", b"1")
    one.cancel.set()
    assert other.store.get("a") is None
    assert not other.cancel.is_set


def test_the_systems_clock_only_goes_forward():
    assert SYSTEM() <= SYSTEM()
