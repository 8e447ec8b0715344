import errno
import json

import pytest
from pydantic import BaseModel

from edgecv_cli.cli import funnel
from edgecv_cli.cli.funnel import failure_of, report
from edgecv_cli.cli.streams import plain
from edgecv_cli.core import errors
from edgecv_cli.core.result import Result


class Refused(Result):
    saved: str | None = None
    speedup: float | None = None


class Compared(Result):
    ratio: float


class FakeStreams:
    """Keeps what would go out; the same face as Streams."""

    def __init__(self, *, verbose: bool = False) -> None:
        self.verbose = verbose
        self.said: list[str] = []
        self.emitted: list[dict[str, object]] = []

    def say(self, line: str) -> None:
        self.said.append(line)

    def emit(self, value: dict[str, object]) -> None:
        self.emitted.append(value)


def all_error_classes(base: type[errors.EdgeCVError]) -> list[type[errors.EdgeCVError]]:
    """The classes that core.errors names; what others derive depends on what was imported."""
    subs = [sub for sub in base.__subclasses__() if sub.__module__ == errors.__name__]
    return [base, *(found for sub in subs for found in all_error_classes(sub))]


def made(kind: type[errors.EdgeCVError]) -> errors.EdgeCVError:
    if kind is errors.InterruptedByUser:
        return kind()
    extra = {}
    if kind is errors.ChildFailureError:
        extra = {"reason": "crashed"}
    if issubclass(kind, errors.GateNotMetError):
        extra = {"result": None}
    return kind("it broke", remedy="mend it", **extra)


@pytest.mark.parametrize("kind", all_error_classes(errors.EdgeCVError))
def test_each_error_is_two_lines_and_its_exit_code(kind):
    streams = FakeStreams()
    error = made(kind)
    assert report(error, streams) == kind.exit_code
    assert streams.said == [f"error: {error.problem}", f"  fix: {error.remedy}"]
    assert streams.emitted == [
        {"error": {"kind": kind.kind, "problem": error.problem, "remedy": error.remedy}}
    ]


def test_lines_stay_lines_whatever_a_file_is_called():
    streams = FakeStreams()
    report(errors.ModelError("'a\nb\x1b[31m\udcff' is bad", remedy="rename\tit"), streams)
    assert streams.said == [r"error: 'a b\x1b[31m\udcff' is bad", "  fix: rename it"]


def test_a_refused_gate_gives_the_whole_result_with_nothing_saved():
    streams = FakeStreams()
    result = Refused(schema="edgecv.x/1", speedup=0.9)
    error = errors.GateNotMetError("too slow", remedy="lower --min-speedup", result=result)
    assert report(error, streams) == 3
    (emitted,) = streams.emitted
    assert emitted["saved"] is None
    assert emitted["speedup"] == 0.9
    assert "error" not in emitted


def test_a_result_that_saves_nothing_anyway_gets_no_saved():
    streams = FakeStreams()
    error = errors.GateNotMetError("slower", remedy="r", result=Compared(schema="x/1", ratio=2))
    report(error, streams)
    assert "saved" not in streams.emitted[0]


@pytest.mark.parametrize(
    ("error", "kind", "code", "problem"),
    [
        (KeyboardInterrupt(), "interrupted", 130, "interrupted"),
        (MemoryError(), "memory", 1, "not enough memory"),
        (OSError(errno.ENOSPC, "No space left", "f"), "system", 1, "f: No space left"),
        (OSError(errno.EACCES, "Permission denied"), "system", 1, "Permission denied"),
        (ZeroDivisionError("a\nb"), "bug", 1, "this is a bug of edgecv: ZeroDivisionError: a b"),
        (OSError("odd"), "bug", 1, "this is a bug of edgecv: OSError: odd"),
        (
            ModuleNotFoundError("No module named 'rich'", name="rich.console"),
            "dependency",
            1,
            "the Python module rich.console is missing; edgecv can't work without it",
        ),
        (
            ModuleNotFoundError("No module named 'x'", name="edgecv_cli.x"),
            "bug",
            1,
            "this is a bug of edgecv: ModuleNotFoundError: No module named 'x'",
        ),
    ],
)
def test_other_failures_become_words(error, kind, code, problem):
    failure = failure_of(error)
    assert (failure.kind, failure.exit_code, failure.problem) == (kind, code, problem)
    assert failure.remedy


def test_pydantic_is_never_raw():
    class Number(BaseModel):
        value: int

    with pytest.raises(ValueError, match="validation") as caught:
        Number(value="x" * 1000)
    failure = failure_of(caught.value)
    assert failure.kind == "bug"
    assert "\n" not in failure.problem
    assert len(failure.problem) <= 400


def test_every_system_error_has_a_remedy_of_its_own_words():
    for number, remedy in funnel._OS_REMEDIES.items():
        assert failure_of(OSError(number, "words")).remedy == remedy


def test_the_traceback_is_for_verbose_alone():
    quiet, loud = FakeStreams(), FakeStreams(verbose=True)
    try:
        raise ZeroDivisionError("oops")
    except ZeroDivisionError as error:
        report(error, quiet)
        report(error, loud)
    assert not any("Traceback" in line for line in quiet.said)
    assert "Traceback" in loud.said[0]
    assert loud.said[1:] == quiet.said


def test_a_reader_that_went_away_is_told_nothing():
    streams = FakeStreams()
    assert report(BrokenPipeError(), streams) == 1
    assert streams.said == []


def test_failures_are_json():
    for error in (MemoryError(), errors.DataError("p\ud800", remedy="r")):
        assert json.loads(json.dumps(failure_of(error).to_json()))


def test_plain_keeps_what_can_be_printed():
    assert plain("größe  名前.onnx") == "größe 名前.onnx"
