import json
from pathlib import Path

import pytest

from edgecv_cli.cli.main import COMMANDS
from edgecv_cli.cli.schemas import RESULTS, schemas, write

FOLDER = Path(__file__).parents[3] / "docs" / "schema"
CURRENT = schemas()

EVERY_RESULT = {"schema", "edgecv", "machine"}
# The keys that scripts rely on, by command; nested ones with a dot.
PROMISED = {
    "demo": """baseline.map baseline.map50 baseline.p50_ms baseline.p95_ms baseline.size_bytes
        optimized.map optimized.map50 optimized.p50_ms optimized.p95_ms optimized.size_bytes
        speedup size_ratio drop.points drop.relative report images""",
    "inspect": """inputs outputs opset parameters macs size_bytes sha256 precision
        detector.family detector.confidence detector.evidence detector.assumed
        detector.input_size detector.color detector.resize detector.classes provenance""",
    "evaluate": "map map50 map75 images per_class interval",
    "quantize": """baseline optimized drop.points drop.relative agreement speedup size_ratio
        layers.by_precision layers.reasons int8_macs_share calibration.images
        calibration.seconds calibration.peak_rss_bytes saved sha256""",
    "benchmark": """runs.model runs.engine runs.p50_ms runs.p90_ms runs.p95_ms runs.p99_ms
        runs.mean_ms runs.fps runs.samples runs.peak_rss_bytes runs.load_ms runs.size_bytes
        runs.map runs.map_low runs.map_high ratios.a ratios.b ratios.ratio ratios.low
        ratios.high warnings""",
    "detect": "frames fps infer_p50_ms",
    "run": "steps.stage steps.status steps.seconds steps.sha256 steps.measurements",
}


def properties(schema: dict, root: dict) -> dict:
    """Return the properties of an object schema, through references, unions and arrays."""
    if "$ref" in schema:
        return properties(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "properties" in schema:
        return schema["properties"]
    for part in schema.get("anyOf", [schema["items"]] if "items" in schema else []):
        if found := properties(part, root):
            return found
    return {}


def has(root: dict, key: str) -> bool:
    schema = root
    for part in key.split("."):
        schema = properties(schema, root).get(part)
        if schema is None:
            return False
    return True


def test_every_command_has_a_result():
    assert set(RESULTS) == set(COMMANDS)


@pytest.mark.parametrize("name", sorted(CURRENT))
def test_schemas_are_current(name):
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert text == CURRENT[name], "run: python -m edgecv_cli.cli.schemas docs/schema"


def test_no_schema_is_left_over():
    assert {path.name for path in FOLDER.glob("*.json")} == set(CURRENT)


@pytest.mark.parametrize("command", sorted(PROMISED))
def test_promised_keys_are_in_the_results(command):
    root = json.loads(CURRENT[f"{command}.result.json"])
    missing = {key for key in PROMISED[command].split() if not has(root, key)}
    assert not missing
    assert set(root["properties"]) >= EVERY_RESULT


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_key_and_option_is_described_or_obvious(command):
    options = json.loads(CURRENT[f"{command}.config.json"])["properties"]
    assert all(option.get("description") for option in options.values())


def test_writing_removes_what_is_gone(tmp_path):
    (tmp_path / "gone.config.json").write_text("{}")
    write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(CURRENT)
