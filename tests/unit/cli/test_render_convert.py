"""A conversion on the terminal and in the report: how far it was verified, and what is absent."""

from __future__ import annotations

import io

from rich.console import Console

from edgecv_cli.cli.render.convert import render
from edgecv_cli.core.result import Interval
from edgecv_cli.measure.parity import OutputParity, Parity
from edgecv_cli.report.html import render as html
from edgecv_cli.stages.compose.convert import conversion_document
from edgecv_cli.stages.converting.result import ConvertOpenVinoResult, SavedFile
from edgecv_cli.stages.quantize_result import HowMade, Side

PARITY = Parity(
    max_abs=0.5,
    relative=0.02,
    snr_db=38.6,
    outputs=(
        OutputParity(output="out, boxes", same=False, max_abs=0.5, relative=0.02, snr_db=38.6),
        OutputParity(output="out, scores", same=True, max_abs=0.0, relative=0.0),
    ),
    pictures=4,
    source="drawn pictures",
)
FILES = (
    SavedFile(part="weights", path="m.bin", size_bytes=1_000_000, sha256="aa"),
    SavedFile(part="model", path="m.xml", size_bytes=500_000, sha256="bb"),
)


def result(**changes):
    facts = {
        "model": "m.onnx",
        "family": "yolov8",
        "precision": "fp16",
        "baseline": Side(size_bytes=1_000_000),
        "converted": Side(size_bytes=1_500_000),
        "size_ratio": 2 / 3,
        "engine": "openvino",
        "how": HowMade(engine="original on onnxruntime", threads=1, seed=0),
        **changes,
    }
    return ConvertOpenVinoResult(**facts)


def shown(result):
    out = io.StringIO()
    console = Console(file=out, width=200, emoji=False, markup=False, highlight=False)
    for block in render(result):
        console.print(block)
    return out.getvalue(), html(conversion_document(result))


def test_what_was_run_and_saved_is_said_with_its_figures():
    terminal, report = shown(
        result(
            verified="ran",
            provider="CPU",
            parity=PARITY,
            speedup=1.25,
            speedup_interval=Interval(low=1.1, high=1.4),
            saved="m.xml",
            sha256="bb",
            files=FILES,
        )
    )

    assert "ran (CPU)" in terminal
    assert "SNR 38.6 dB, largest difference 0.5 (2.000 %), on 4 drawn pictures" in terminal
    assert "1.25 x against ONNX Runtime" in terminal
    assert "saved m.xml (fp16)" in terminal
    assert "m.bin 1.00 MB sha256 aa" in terminal
    assert "agreement" not in terminal
    assert "Saved as m.bin and m.xml." in report
    assert "out, scores" in report
    assert "1.50 x" in report
    assert "larger" in report


def test_what_was_not_run_says_why_and_saves_nothing():
    why = "engine openvino offers no device 'npu' here"
    terminal, report = shown(
        result(
            verified="structure",
            unverified=why,
            gates={"require": f"at least ran: structure ({why})"},
            rejected="kept.xml",
        )
    )

    assert f"structure ({why})" in terminal
    assert "nothing was saved" in terminal
    assert "kept as kept.xml" in terminal
    assert "SNR" not in terminal
    assert "Refused." in report
    assert "read back only" in report


def test_outputs_that_cant_be_compared_say_so():
    broken = OutputParity(output="out", same=False, problem="output out: shapes differ")
    found = Parity(outputs=(broken,), pictures=4, source="images")
    terminal, report = shown(result(verified="ran", parity=found))

    assert "shapes differ" in terminal
    assert "shapes differ" in report
