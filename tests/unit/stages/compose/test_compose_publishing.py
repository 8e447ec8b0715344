"""When a report appears, and when none does."""

from __future__ import annotations

import pytest

from edgecv_cli.core.errors import DataError, GateNotMetError, OutputError, OutputExistsError
from edgecv_cli.report.blocks import Document
from edgecv_cli.stages.compose.publishing import reporting

DOCUMENT = Document("title", "subtitle", ())


def left_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_report_appears_when_the_work_is_done(tmp_path):
    path = tmp_path / "r.html"
    with reporting(path, force=False, inputs=()) as draft:
        assert draft.wanted
        draft.write(DOCUMENT)
        assert not path.exists()
    assert "<title>title</title>" in path.read_text()
    assert left_in(tmp_path) == ["r.html"]


def test_nobody_asked(tmp_path):
    with reporting(None, force=False, inputs=()) as draft:
        assert not draft.wanted
        draft.write(DOCUMENT)
    assert left_in(tmp_path) == []


def fail(path, error, *, written):
    with reporting(path, force=False, inputs=()) as draft:
        if written:
            draft.write(DOCUMENT)
        raise error


REFUSED = GateNotMetError("too slow", remedy="x", result=None)


def test_a_refusal_by_a_gate_leaves_its_report(tmp_path):
    with pytest.raises(GateNotMetError):
        fail(tmp_path / "r.html", REFUSED, written=True)
    assert left_in(tmp_path) == ["r.html"]


@pytest.mark.parametrize("written", [False, True])
def test_a_failure_leaves_nothing(tmp_path, written):
    with pytest.raises(DataError):
        fail(tmp_path / "r.html", DataError("broken", remedy="x"), written=written)
    assert left_in(tmp_path) == []


def test_a_gate_that_refuses_before_anything_was_written_leaves_nothing(tmp_path):
    with pytest.raises(GateNotMetError):
        fail(tmp_path / "r.html", REFUSED, written=False)
    assert left_in(tmp_path) == []


def test_a_place_that_is_taken_is_refused_before_the_work(tmp_path):
    path = tmp_path / "r.html"
    path.write_text("mine")
    with pytest.raises(OutputExistsError), reporting(path, force=False, inputs=()):
        pytest.fail("the work began")
    assert path.read_text() == "mine"
    with reporting(path, force=True, inputs=()) as draft:
        draft.write(DOCUMENT)
    assert "title" in path.read_text()


def test_a_place_that_can_not_be_is_refused_before_the_work(tmp_path):
    with (
        pytest.raises(OutputError, match="does not exist"),
        reporting(tmp_path / "none" / "r.html", force=False, inputs=()),
    ):
        pytest.fail("the work began")
    source = tmp_path / "in.html"
    source.write_text("x")
    with pytest.raises(OutputExistsError), reporting(source, force=True, inputs=[source]):
        pytest.fail("the work began")
