"""The table of stages: no key can forget an input, and every stage is a command too."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgecv_cli.config.base import Input, Output, mark_of, path_fields
from edgecv_cli.pipeline.headlines import headline
from edgecv_cli.pipeline.keys import _READERS
from edgecv_cli.pipeline.stages import STAGES

EACH = pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)


@EACH
def test_every_path_of_a_stage_is_marked_as_read_or_written(stage):
    fields = stage.config.model_fields
    unmarked = {
        name
        for name in path_fields(stage.config)
        if not mark_of(fields[name], Input) and not mark_of(fields[name], Output)
    }
    assert not unmarked


@EACH
def test_every_input_can_be_digested_and_its_limit_is_a_count(stage):
    fields = stage.config.model_fields
    for name, info in fields.items():
        mark = mark_of(info, Input)
        if mark is not None and name != stage.takes:
            assert mark.kind in _READERS
            assert mark.limit is None or fields[mark.limit].annotation in (int, int | None)


@EACH
def test_the_field_that_takes_artifacts_is_marked_so(stage):
    mark = mark_of(stage.config.model_fields[stage.takes], Input)
    assert mark is not None
    assert mark.kind == "artifact"


@EACH
def test_a_stage_that_gives_something_has_a_place_for_it(stage):
    if stage.gives != "result":
        assert mark_of(stage.config.model_fields["output"], Output)


def test_names_are_unique():
    names = [stage.name for stage in STAGES]
    assert len(set(names)) == len(names)


@EACH
def test_every_stage_is_a_command(stage):
    name = f"{stage.name.replace('-', '_')}.py"
    assert (Path(__file__).parents[3] / "edgecv_cli/cli/commands" / name).is_file()


@EACH
def test_what_a_stage_found_is_told_in_a_line(stage):
    assert headline.dispatch(stage.result) is not headline.dispatch(object)
