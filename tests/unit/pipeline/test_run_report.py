"""A pipeline's report: every step's own blocks under its name."""

from __future__ import annotations

import onnx
from models import yolov8
from results import evaluated, quantized
from scenes import write_dataset

from edgecv_cli.config.quantize import QuantizeConfig
from edgecv_cli.core.context import Context
from edgecv_cli.pipeline.run_pictures import quantize_pictures
from edgecv_cli.pipeline.run_report import run_document
from edgecv_cli.pipeline.run_result import RunResult, StepReport
from edgecv_cli.report.blocks import Heading, Pairs, Paragraph
from edgecv_cli.report.html import render


def step(name: str, stage: str, **facts: str) -> StepReport:
    return StepReport(id=name, stage=stage, inputs=("model",), **{"status": "done", **facts})


RUN = RunResult(
    pipeline="p.yaml",
    steps=(
        step("small", "quantize"),
        step("check", "evaluate"),
        step("later", "detect", status="skipped"),
    ),
    cache="/cache",
    seconds=1.0,
)
RESULTS = {"small": quantized(), "check": evaluated()}


def test_each_step_stands_under_its_own_heading():
    blocks = run_document(RUN, RESULTS).blocks
    headings = [(block.text, block.level) for block in blocks if isinstance(block, Heading)]
    assert [text for text, level in headings if level == 2] == [
        "small: quantize", "check: evaluate", "Lineage", "Machine",
    ]  # fmt: skip
    assert ("Before and after", 3) in headings
    assert headings.count(("Accuracy by class", 3)) == 2


def test_pictures_stand_with_their_step():
    shown = Paragraph("four pictures")
    blocks = run_document(RUN, RESULTS, {"small": [shown]}).blocks
    place = blocks.index(shown)
    after = [block.text for block in blocks[place:] if isinstance(block, Heading)]
    assert "check: evaluate" in after
    assert blocks[place - 1] == Heading("The same images, before and after", 3)


def test_a_run_that_made_nothing_has_a_report():
    html = render(run_document(RUN, {}))
    assert "skipped" in html
    assert "Lineage" not in html


def test_both_models_are_drawn_on_the_images_that_the_step_had(tmp_path):
    model = tmp_path / "m.onnx"
    onnx.save(yolov8(planted=True), model)
    data = write_dataset(tmp_path / "set", images=3)
    config = QuantizeConfig(
        model=model, output=tmp_path / "o.onnx", calibration=data / "images", data=data, limit=2,
        threads=1,
    )  # fmt: skip

    labelled = quantize_pictures(config, model, model, Context())
    plain = quantize_pictures(config.model_copy(update={"data": None}), model, model, Context())

    for blocks, count in ((labelled, 2), (plain, 3)):
        pairs = next(block for block in blocks if isinstance(block, Pairs)).pairs
        assert len(pairs) == count
        assert all(left.data == right.data for left, right in pairs)
    replay = config.model_copy(update={"data": None, "calibration": None})
    assert quantize_pictures(replay, model, model, Context()) == []
