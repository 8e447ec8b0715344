"""TensorRT's rules on a detector's forms: what breaks them, and what --fix costs in mAP.

    python benchmarks/preflight_table.py float.onnx int8-cpu.onnx int8-trt.onnx --data DIR

The first model is the original; each is held against the rules of TensorRT-RTX as it is and after
the repairs. With --data the original, each other model and its fixed form are run by ONNX Runtime,
Q/DQ as it is written: mAP50-95 of the three, then what quantizing lost, what the repairs lost, and
both together, each with a 95 % paired bootstrap interval; then how far the detections of each agree
with the original's. Prints rows of a Markdown table.
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
from edgecv_cli.measure.accuracy import PairedDrop, paired_drop
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


def row(path: Path, target: TrtTarget, judge: Judge | None, *, sparing: bool = False) -> str:
    """Return one model's row."""
    model = onnx.load(path)
    fixed, mended = repaired(model, target, sparing=sparing)
    cells = [path.stem, findings(model, target), str(len(mended)), findings(fixed, target)]
    if judge is not None:
        cells += figures(path, fixed, judge, changed=bool(mended))
    return f"| {' | '.join(cells)} |"


def figures(path: Path, fixed: onnx.ModelProto, judge: Judge, *, changed: bool) -> list[str]:
    """Return mAP of the original, the model and its fixed form, and what each step lost."""
    verdicts = [judge.judge(path)]
    if changed:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / path.name
            onnx.save(fixed, place)
            verdicts.append(judge.judge(place))
    seen = [judge.baseline, *(one.seen for one in verdicts)]
    found = [one.accuracy for one in seen if one.accuracy is not None]
    first, given, after = *found[:2], found[-1]
    maps = [f"{one.map:.4f}" for one in (first, given, after)]
    steps = [(first, given), (given, after), (first, after)]
    agreed = [f"{one.agreement:.3f}" for one in verdicts]
    return [*maps, *(lost(paired_drop(*step)) for step in steps), *agreed]


def lost(drop: PairedDrop) -> str:
    """Return a relative loss in mAP as a change, with its paired interval."""
    said = f"{0.0 - 100 * drop.drop.relative:+.1f} %"
    within = drop.relative
    if within is None:
        return said
    return f"{said} ({0.0 - 100 * within.high:+.1f} to {0.0 - 100 * within.low:+.1f})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--sparing", action="store_true", help="as --fix does where a gate refuses")
    given = parser.parse_args()
    data = None if given.data is None else open_dataset(given.data, limit=given.limit)
    judge = None if data is None else judge_of(given.models[0], data)
    target = target_of("rtx", None)
    print(row(given.models[0], target, None), flush=True)
    for path in given.models[1:]:
        print(row(path, target, judge, sparing=given.sparing), flush=True)


if __name__ == "__main__":
    main()
