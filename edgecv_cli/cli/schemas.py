"""Prints the JSON schemas of every command's options and result.

``python -m edgecv_cli.cli.schemas docs/schema`` writes one file each; a test holds that they
are current.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecv_cli.cli.main import COMMANDS

if TYPE_CHECKING:
    from pydantic import BaseModel

RESULTS: dict[str, str] = {
    "demo": "edgecv_cli.pipeline.demo_result:DemoResult",
    "inspect": "edgecv_cli.stages.inspect:InspectResult",
    "evaluate": "edgecv_cli.stages.evaluate:EvaluateResult",
    "quantize": "edgecv_cli.stages.quantize_result:QuantizeResult",
    "prune": "edgecv_cli.stages.prune_result:PruneResult",
    "distill": "edgecv_cli.stages.distill_result:DistillResult",
    "reshape": "edgecv_cli.stages.reshape_result:ReshapeResult",
    "convert-openvino": "edgecv_cli.stages.converting.result:ConvertOpenVinoResult",
    "convert-coreml": "edgecv_cli.stages.convert_coreml_result:ConvertCoremlResult",
    "convert-tflite": "edgecv_cli.stages.convert_tflite_result:ConvertTfliteResult",
    "benchmark": "edgecv_cli.stages.benchmark:BenchmarkResult",
    "compare": "edgecv_cli.stages.compare:CompareResult",
    "detect": "edgecv_cli.stages.detect_result:DetectSummary",
    "convert-trt": "edgecv_cli.stages.convert_trt_result:ConvertTrtResult",
    "run": "edgecv_cli.pipeline.run_result:RunResult",
    "doctor": "edgecv_cli.stages.doctor:DoctorResult",
    "targets": "edgecv_cli.stages.targets:TargetsResult",
}
"""Command name to ``module:class`` of what ``--json`` prints (detect: under ``summary``)."""

FURTHER: dict[str, tuple[str, str]] = {
    "fleet.config.json": ("edgecv_cli.config.fleet:FleetFile", "validation"),
    "fleet.result.json": ("edgecv_cli.pipeline.fleet.result:FleetResult", "serialization"),
}
"""File name to ``module:class`` and mode, of what ``benchmark --devices`` reads and prints."""


def schemas() -> dict[str, str]:
    """Return file name to text for all commands."""
    files = {}
    for name, (module, _) in COMMANDS.items():
        config = importlib.import_module(module).COMMAND.config
        files[f"{name}.config.json"] = _text(config, "validation")
        where, _, result = RESULTS[name].partition(":")
        files[f"{name}.result.json"] = _text(
            getattr(importlib.import_module(where), result), "serialization"
        )
    for file, (model, mode) in FURTHER.items():
        where, _, kind = model.partition(":")
        files[file] = _text(getattr(importlib.import_module(where), kind), mode)
    return files


def write(folder: Path) -> None:
    """Write all schemas into a folder, and remove those of commands that are gone."""
    folder.mkdir(parents=True, exist_ok=True)
    current = schemas()
    for stale in set(folder.glob("*.json")) - {folder / name for name in current}:
        stale.unlink()
    for name, text in current.items():
        (folder / name).write_text(text, encoding="utf-8")


def _text(model: type[BaseModel], mode: Any) -> str:
    schema = model.model_json_schema(mode=mode, by_alias=True)
    return json.dumps(_stable(schema), indent=2, sort_keys=True) + "\n"


def _stable(schema: Any) -> Any:
    """Leave out the version, which is every result's default and changes with each release."""
    if isinstance(schema, dict):
        return {
            key: _stable(value) for key, value in schema.items() if not _is_version(key, schema)
        }
    return [_stable(item) for item in schema] if isinstance(schema, list) else schema


def _is_version(key: str, schema: dict[str, Any]) -> bool:
    return key == "default" and schema.get("title") == "Edgecv"


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/schema"))
