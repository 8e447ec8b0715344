"""Damage by group of layers, in a report and in a terminal."""

from __future__ import annotations

import io

from rich.console import Console

from edgecv_cli.cli.render import sensitivity as terminal
from edgecv_cli.compress.quantization.sensitivity import GroupDamage, Sensitivity
from edgecv_cli.report.blocks import Bars, Table
from edgecv_cli.report.html import render
from edgecv_cli.stages.compose.sensitivity import sensitivity_blocks, sensitivity_document
from edgecv_cli.stages.sensitivity_result import SensitivityResult


def group(name: str, damage: float) -> GroupDamage:
    return GroupDamage(
        group=name,
        layers=(name, f"{name}_2"),
        kind="a layer and what follows it",
        macs_share=0.25,
        precision="int8",
        damage=damage,
        alone=damage,
    )


def measured(*rows: GroupDamage) -> Sensitivity:
    return Sensitivity(
        rows=rows, loss=0.4, images=8, threshold=0.05, engine="onnxruntime", exact=True
    )


def result(measured: Sensitivity) -> SensitivityResult:
    return SensitivityResult(
        model="m.onnx",
        target="cpu-x86",
        precision="int8",
        placement="all",
        estimator="minmax",
        sensitivity=measured,
        seconds=2.0,
    )


def shown(run: SensitivityResult) -> str:
    out = io.StringIO()
    console = Console(file=out, width=160)
    for block in terminal.render(run):
        console.print(block)
    return out.getvalue()


ROWS = (group("worst", 0.3), group("mild", 0.02), group("helps", -0.01))


def test_the_report_has_a_bar_and_a_row_for_each_group() -> None:
    blocks = sensitivity_blocks(measured(*ROWS))
    (bars,) = (block for block in blocks if isinstance(block, Bars))
    (table,) = (block for block in blocks if isinstance(block, Table))
    assert [bar.label for bar in bars.bars] == ["worst", "mild", "helps"]
    assert [bar.value for bar in bars.bars] == [0.3, 0.02, 0]
    assert [bar.tone for bar in bars.bars] == ["bad", "plain", "plain"]
    assert table.rows[0][2:5] == ("int8", "0.300", "25.0 %")


def test_the_report_says_how_its_numbers_were_made() -> None:
    html = render(sensitivity_document(result(measured(*ROWS))))
    for said in ("8 images, no labels", "onnxruntime", "IoU", "worst (0.300)"):
        assert said in html


def test_no_groups_make_no_plot() -> None:
    assert sensitivity_blocks(measured()) == []
    assert "no single group" in render(sensitivity_document(result(measured())))


def test_hostile_names_stay_text() -> None:
    run = result(measured(group("<i>\x1b[2Jx", 0.3)))
    assert "<i>" not in render(sensitivity_document(run)).partition("<body>")[2]
    assert "\x1b[2J" not in shown(run)


def test_the_terminal_shows_the_worst_first_and_says_how_many_more() -> None:
    many = tuple(group(f"group{index}", 0.3 - index / 100) for index in range(25))
    text = shown(result(measured(*many)))
    assert text.index("group0") < text.index("group1 ") < text.index("group19")
    assert "group20" not in text
    assert "and 5 more" in text
    assert "0.400 with every group" in text


def test_json_leaves_out_what_was_not_measured() -> None:
    value = result(measured(*ROWS)).to_json()
    assert value["schema"] == "edgecv.sensitivity/1"
    row = value["sensitivity"]["rows"][0]
    assert row["damage"] == 0.3
    assert "without" not in row
