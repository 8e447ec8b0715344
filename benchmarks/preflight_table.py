"""TensorRT's rules on a detector's forms: what breaks them, and what --fix costs in mAP.

    python benchmarks/preflight_table.py float.onnx int8-cpu.onnx int8-trt.onnx --data DIR

The first model is the original; each is held against the rules of TensorRT-RTX as it is and after
the repairs. With --data the original, each other model and its fixed form are run by ONNX Runtime,
Q/DQ as it is written. Prints rows of a Markdown table.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

import onnx

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.compress.quantization.judge import Gates, Judge
from edgecv_cli.config.common import MaxDrop
from edgecv_cli.core.context import Context
from edgecv_cli.graph.tensorrt.preflight import preflight
from edgecv_cli.graph.tensorrt.repair import repaired
from edgecv_cli.graph.tensorrt.target import TrtTarget, target_of
from edgecv_cli.media.dataset import Dataset, open_dataset


def findings(model: onnx.ModelProto, target: TrtTarget) -> str:
    """Return the rules that are broken, with how many places."""
    found = Counter((one.level, one.rule) for one in preflight(model, target))
    return ", ".join(f"{level} `{rule}` {count}" for (level, rule), count in found.items()) or "-"


def judge_of(original: Path, data: Dataset) -> Judge:
    """Return what runs models as Q/DQ is written, and holds them against the original."""
    artifact = Artifact.open(original)
    return Judge(
        artifact,
        artifact.detector().spec,
        Gates(MaxDrop(1, "%"), None, 0.0, strict=False),
        data=data,
        images=(),
        engine="onnxruntime",
        exact=True,
        threads=None,
        speed_seconds=None,
        context=Context(),
    )


def row(path: Path, target: TrtTarget, judge: Judge | None) -> str:
    """Return one model's row."""
    model = onnx.load(path)
    fixed, mended = repaired(model, target)
    cells = [path.stem, findings(model, target), str(len(mended)), findings(fixed, target)]
    if judge is not None:
        cells += figures(path, fixed, judge, changed=bool(mended))
    return f"| {' | '.join(cells)} |"


def figures(path: Path, fixed: onnx.ModelProto, judge: Judge, *, changed: bool) -> list[str]:
    """Return mAP of the original, the model and its fixed form, and what the last lost."""
    original = judge.baseline.accuracy.map
    before = after = judge.judge(path).seen.accuracy.map
    if changed:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / path.name
            onnx.save(fixed, place)
            after = judge.judge(place).seen.accuracy.map
    lost = 100 * (original - after) / original
    return [f"{original:.3f}", f"{before:.3f}", f"{after:.3f}", f"{-lost:+.1f} %"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--limit", type=int)
    given = parser.parse_args()
    data = None if given.data is None else open_dataset(given.data, limit=given.limit)
    judge = None if data is None else judge_of(given.models[0], data)
    target = target_of("rtx", None)
    for path in given.models:
        print(row(path, target, judge), flush=True)


if __name__ == "__main__":
    main()
