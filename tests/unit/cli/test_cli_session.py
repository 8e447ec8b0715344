import io
import os
import signal

import pytest

from edgecv_cli.cli.progress import PlainProgress
from edgecv_cli.cli.session import interruptible
from edgecv_cli.core.context import Cancel
from edgecv_cli.core.errors import InterruptedByUser


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_work_stops_at_a_safe_point(said, number):
    def work() -> None:
        cancel = Cancel()
        with interruptible(cancel, PlainProgress(said)):
            os.kill(os.getpid(), number)
            said.write("finished the image\n")
            cancel.check()

    with pytest.raises(InterruptedByUser):
        work()
    assert said.getvalue().splitlines()[-1] == "finished the image"
    assert "press Ctrl-C again" in said.getvalue()


def test_the_second_signal_stops_at_once(said):
    def work() -> None:
        with interruptible(Cancel(), PlainProgress(said)):
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            pytest.fail("went on after the second Ctrl-C")

    with pytest.raises(InterruptedByUser):
        work()


def test_handlers_are_put_back(said):
    before = signal.getsignal(signal.SIGINT)
    with interruptible(Cancel(), PlainProgress(said)):
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_work_that_ends_despite_the_signal_is_work_done(said):
    cancel = Cancel()
    with interruptible(cancel, PlainProgress(said)):
        os.kill(os.getpid(), signal.SIGINT)
    assert cancel.is_set
