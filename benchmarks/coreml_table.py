"""The table of docs/guides/convert-coreml.md: six detectors as Core ML packages.

    python benchmarks/coreml_table.py ../shared -o coreml.json

Each model is converted by ``edgecv convert-coreml`` and read back; nothing is run. What stops a
model is its row. ``--nms`` converts to pipelines.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from edgecv_cli.config.convert_coreml import ConvertCoremlConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import EdgeCVError, GateNotMetError
from edgecv_cli.stages.convert_coreml import convert_coreml

MODELS = (
    "yolov8n_640",
    "ssd_mobilenet_v1_300",
    "nanodet_plus_m_416",
    "yolox_nano_416",
    "fastestdet_352",
    "yolov6lite_s_320",
)
PRECISIONS = ("fp16", "int8-weights", "palettize")
HEADER = (
    "| model | precision | operations | layers found | farthest | weights | weight.bin MB | "
    "constants MB | package MB | .onnx MB |\n|---|---|---|---|---|---|---|---|---|---|"
)


def row(model: Path, precision: str, *, nms: bool) -> dict[str, Any]:
    """Convert one model, and return what was read back, or what stops it."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / f"{model.stem}.mlpackage"
        config = ConvertCoremlConfig(
            model=model,
            output=output,
            precision=precision,
            nms=nms,
            speed_seconds=0,
            require="structure",
        )
        try:
            found = convert_coreml(config, Context()).to_json()
        except GateNotMetError as error:
            return {"model": model.stem, "precision": precision, "problem": error.problem}
        except EdgeCVError as error:
            return {"model": model.stem, "precision": precision, "problem": str(error)}
    kept = {key: found[key] for key in ("package", "verified", "gates", "converted", "baseline")}
    return {"model": model.stem, "precision": precision, **kept}


def line(one: dict[str, Any]) -> str:
    """Return a row of the table."""
    start = f"| {one['model']} | {one['precision']} |"
    if "problem" in one:
        return f"{start} {one['problem']} ||||||||"
    package = one["package"]
    stored = ", ".join(f"{count} {dtype}" for dtype, count in package["weights"].items())
    sizes = (
        package["weight_bytes"],
        package["constant_bytes"],
        one["converted"]["size_bytes"],
        one["baseline"]["size_bytes"],
    )
    cells = [
        str(sum(package["operators"].values())),
        f"{package['matched']} of {package['layers']}",
        f"{100 * package['farthest']:.2f} %",
        stored,
        *(f"{size / 1e6:.2f}" for size in sizes),
    ]
    return f"{start} {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shared", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--models", nargs="*", default=MODELS)
    parser.add_argument("--precisions", nargs="*", default=PRECISIONS)
    parser.add_argument("--nms", action="store_true", help="with an NMS behind the network")
    arguments = parser.parse_args()
    rows = []
    print(HEADER)
    for precision in arguments.precisions:
        for name in arguments.models:
            model = arguments.shared / "models" / f"{name}.onnx"
            rows.append(row(model, precision, nms=arguments.nms))
            print(line(rows[-1]), flush=True)
            arguments.output.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
