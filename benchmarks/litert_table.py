"""The table of docs/guides/convert-tflite.md: six detectors in LiteRT, float and full int8.

    python benchmarks/litert_table.py ../shared -o litert.json

Each model is converted by ``edgecv convert-tflite`` with gates that refuse nothing, and measured on
the labelled images with the interpreter. What fails is a row that says why.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from edgecv_cli.config.convert_tflite import ConvertTfliteConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import EdgeCVError
from edgecv_cli.stages.convert_tflite import convert_tflite

MODELS = (
    "yolov8n_640",
    "ssd_mobilenet_v1_300",
    "nanodet_plus_m_416",
    "yolox_nano_416",
    "fastestdet_352",
    "yolov6lite_s_320",
)
HEADER = (
    "| model | precision | mAP fp32 | mAP LiteRT | drop, points | interval | SNR dB | agreement | "
    "size MB | Edge TPU |\n|---|---|---|---|---|---|---|---|---|---|"
)


def row(model: Path, precision: str, shared: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Convert and measure one model; figures that were not taken are absent."""
    with tempfile.TemporaryDirectory() as folder:
        config = ConvertTfliteConfig(
            model=model,
            output=Path(folder) / "model.tflite",
            precision=precision,
            calibration=shared / "data/calibration/images" if precision == "int8" else None,
            calibration_images=arguments.calibration_images,
            data=shared / "data/validation",
            limit=arguments.limit,
            speed_seconds=0,
            max_drop="100pt",
            min_agreement=0,
            min_snr=0,
            spec=spec_of(model),
        )
        try:
            result = convert_tflite(config, Context())
        except EdgeCVError as error:
            return {"model": model.stem, "precision": precision, "problem": str(error)}
    found = result.to_json()
    keys = ("drop", "drop_interval", "agreement", "parity", "baseline", "converted", "coral", "how")
    kept = {key: found.get(key) for key in keys}
    for side in ("baseline", "converted"):
        kept[side] = {key: kept[side].get(key) for key in ("map", "map50", "size_bytes")}
    return {"model": model.stem, "precision": precision, "decode": result.decode, **kept}


def spec_of(model: Path) -> Path | None:
    """Return what has to be told of a model, where a file beside it does."""
    beside = model.with_suffix(".yaml")
    return beside if beside.is_file() else None


def line(found: dict[str, Any]) -> str:
    """Return a row of the table."""
    if "problem" in found:
        return f"| {found['model']} | {found['precision']} | {found['problem']} |"
    interval, coral = found["drop_interval"] or {}, found["coral"]
    low, high = interval.get("low"), interval.get("high")
    cells = [
        found["model"],
        found["precision"],
        f"{found['baseline']['map']:.4f}",
        f"{found['converted']['map']:.4f}",
        f"{found['drop']['points']:.2f}",
        "" if low is None else f"{low:.2f} to {high:.2f}",
        "" if found["parity"].get("snr_db") is None else f"{found['parity']['snr_db']:.1f}",
        f"{found['agreement']:.4f}",
        f"{found['converted']['size_bytes'] / 1e6:.2f}",
        "" if coral is None else f"{coral['mapped']} of {coral['operators']}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure, print the table, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shared", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--models", nargs="*", default=MODELS)
    parser.add_argument("--precisions", nargs="*", default=("int8",))
    parser.add_argument("--limit", type=int)
    parser.add_argument("--calibration-images", type=int, default=32)
    arguments = parser.parse_args()
    rows = []
    print(HEADER, flush=True)
    for name in arguments.models:
        for precision in arguments.precisions:
            model = arguments.shared / "models" / f"{name}.onnx"
            rows.append(row(model, precision, arguments.shared, arguments))
            print(line(rows[-1]), flush=True)
            if arguments.output:
                arguments.output.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
