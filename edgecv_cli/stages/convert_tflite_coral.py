"""Compile an int8 file for a Coral Edge TPU, where Google's compiler is installed.

Source: coral.ai, "Edge TPU Compiler": ``edgetpu_compiler -s -o FOLDER MODEL.tflite`` writes
``MODEL_edgetpu.tflite`` and lists what it mapped. It exists for Debian on x86-64 alone.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from edgecv_cli.core.context import Context
from edgecv_cli.core.files import sha256_file
from edgecv_cli.core.process import run_to_end
from edgecv_cli.stages.convert_tflite_result import Compiled, Coral

COMPILER = "edgetpu_compiler"
_SECONDS = 600.0
_LINES = 60


def compiled_name(model: Path) -> str:
    """Return the name that the compiler gives to what it makes of a file."""
    return f"{model.stem}_edgetpu.tflite"


def compile_for_coral(report: Coral, model: Path, context: Context) -> Coral:
    """Return the report with what the compiler made, beside the model, or why it made nothing.

    Args:
        report: what was read from the file.
        model: a plain int8 .tflite file.
        context: cancels it.

    Raises:
        InterruptedByUser: the work was cancelled.
    """
    program = shutil.which(COMPILER)
    if program is None:
        return report.model_copy(update={"compiler": f"{COMPILER} is not on PATH"})
    how, said = run_to_end(
        [program, "-s", "-o", str(model.parent), str(model)],
        env=os.environ,
        seconds=_SECONDS,
        poll=context.cancel.check,
    )
    made = model.with_name(compiled_name(model))
    lines = tuple(line.rstrip() for line in said.splitlines() if line.strip())[-_LINES:]
    if how is None or how.status != 0 or not made.is_file():
        last = lines[-1] if lines else "nothing was said"
        return report.model_copy(update={"compiler": f"{COMPILER} made nothing: {last}"})
    compiled = Compiled(
        version=next((line.rpartition(" ")[2] for line in lines if "version" in line), None),
        sha256=sha256_file(made),
        size_bytes=made.stat().st_size,
        said=lines,
    )
    return report.model_copy(update={"compiled": compiled})
