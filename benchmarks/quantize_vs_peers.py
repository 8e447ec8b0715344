"""edgecv quantize beside every peer: accuracy, speed and size, in one run for each model.

    python benchmarks/quantize_vs_peers.py MODEL.onnx... --calibration DIR --data DIR --work DIR
        [--md FILE] [--json FILE] [--setting "--prefer accuracy"]... [--cap] [--threads N]

Rows: fp32 and simplified fp32 in ONNX Runtime, edgecv under several settings, ONNX Runtime's
`quantize_static` (at its best and as it comes), NNCF's ONNX and OpenVINO results, and OpenVINO
in fp32 and bf16. All calibrate on the same images. The labelled images are divided in two:
edgecv sees the first half as its `--data`, and every accuracy in the table comes from the other
(beside it: from all of them). Speeds are taken in interleaved blocks, one process a row.

`--cap` adds a column: OpenVINO's rows under ONEDNN_MAX_CPU_ISA=AVX2_VNNI, the kernels that a
machine without AVX-512 and AMX has. `--work` keeps what was made: a run that is stopped goes on
where it was, and a model that is done is not measured again. It knows models, data, options
and versions apart, but not edgecv's own code: name a new folder after changing that.

Needs the peers: pip install -e '.[peers]'
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from peers.figures import CAP, accuracies, make, speeds
from peers.halves import RULE, Halves, split
from peers.table import document
from peers.ways import SETTINGS, Job, ways

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.store import digest_key
from edgecv_cli.measure.hardware import engine_versions, fingerprint, instruction_sets, machine
from edgecv_cli.measure.latency_warnings import busy_warning
from edgecv_cli.media.images import digest_files, open_images


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def compare(model: Path, options: argparse.Namespace, halves: Halves) -> dict[str, Any]:
    """Return one model's figures, from the work folder if they stand there."""
    artifact = Artifact.open(model)
    folder = options.work / f"{model.stem}-{_made_from(artifact, options, halves)}"
    folder.mkdir(parents=True, exist_ok=True)
    result = folder / f"result-{_identity(artifact, options, halves)}.json"
    if result.is_file():
        say(f"{model.stem}: done before")
        found: dict[str, Any] = json.loads(result.read_text())
        return found
    job = Job(
        artifact=artifact,
        spec=artifact.detector().spec,
        calibration=options.calibration,
        images=options.images,
        choice=halves.choice,
        threads=options.threads,
    )
    rows = _made(job, folder, options)
    say(f"{model.stem}: accuracy")
    accuracies(rows, job, halves)
    say(f"{model.stem}: speed")
    busy = busy_warning()
    warnings = speeds(rows, job, seconds=options.seconds, cap=options.cap)
    entry = {
        "rows": [row.to_json() for _, row in rows],
        "warnings": [*([busy] if busy else []), *warnings],
    }
    result.write_text(json.dumps(entry))
    return entry


def _made(job: Job, folder: Path, options: argparse.Namespace) -> list[Any]:
    """Make every row's file; what is made is noted at once, so that it need not be again."""
    journal = folder / "made.json"
    known = json.loads(journal.read_text()) if journal.is_file() else {}
    rows = []
    for way in ways(tuple(options.setting or SETTINGS)):
        say(f"{job.artifact.path.stem}: {way.key}")
        path, row = make(way, job, folder, known)
        if way.make is not None and row.error is None:
            known[way.key] = {"note": row.note, "seconds": row.seconds}
            journal.write_text(json.dumps(known))
        rows.append((path, row))
    return rows


def _made_from(artifact: Artifact, options: argparse.Namespace, halves: Halves) -> str:
    """Digest of what every file depends on, so that none is taken for another's."""
    return digest_key(
        model=artifact.sha256,
        calibration=digest_files(open_images(options.calibration, options.images).paths),
        data=halves.everything.digest,
        threads=options.threads,
        seed=options.seed,
        engines=engine_versions(),
    )[:12]


def _identity(artifact: Artifact, options: argparse.Namespace, halves: Halves) -> str:
    return digest_key(
        made=_made_from(artifact, options, halves),
        settings=list(options.setting or SETTINGS),
        seconds=options.seconds,
        cap=options.cap,
        machine=fingerprint(options.threads),
    )[:12]


def how(options: argparse.Namespace, halves: Halves) -> list[str]:
    """Say how the figures were made."""
    here = machine(options.threads)
    versions = ", ".join(f"{name} {version}" for name, version in here.engines.items())
    lines = [
        f"{here.cpu}, {here.cores} cores ({', '.join(here.instruction_sets)}); {versions}; "
        f"{options.threads} thread(s)",
        f"calibration: {options.images} images; labelled images: {len(halves.everything.items)}, "
        f"{len(halves.judged)} of them judge and the others were for choosing ({RULE}, "
        f"SEED {options.seed})",
        "intervals are 95 %: accuracy by bootstrap over images, drops paired with fp32 in ONNX "
        "Runtime, speed over rounds of interleaved blocks",
        f"speed: time(fp32 in ONNX Runtime) / time(row) in the same run, {options.seconds:g} s a "
        "row; above 1 is faster",
    ]
    if options.cap:
        lines.append(_cap_line())
    return lines


def _cap_line() -> str:
    sets = set(instruction_sets())
    text = f"{CAP}: OpenVINO's kernels limited by ONEDNN_MAX_CPU_ISA, in a run of its own"
    if not any(name.startswith(("avx512", "amx")) for name in sets):
        text += "; this machine has nothing beyond that, so the cap changes nothing"
    if not any("vnni" in name for name in sets):
        text += "; it has no VNNI either: both columns are plain AVX2, whose int8 sums saturate"
    return text


def main() -> None:
    """Compare, then write what was asked for."""
    options = _options()
    options.work.mkdir(parents=True, exist_ok=True)
    halves = split(options.data, options.work, options.seed)
    models: dict[str, Any] = {}
    for model in options.models:
        models[model.stem] = compare(model, options, halves)
        lines = how(options, halves)
        page = document(models, lines, CAP if options.cap else "")
        if options.md:
            options.md.write_text("# edgecv and its peers\n\n" + page, encoding="utf-8")
        if options.json:
            content = {"how": lines, "machine": machine(options.threads).model_dump(mode="json")}
            options.json.write_text(json.dumps({**content, "models": models}, indent=1))
    print(page)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--setting", action="append", help=f"of edgecv; default: {SETTINGS}")
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cap", action="store_true")
    parser.add_argument("--md", type=Path)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
