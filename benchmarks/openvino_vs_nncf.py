"""What `edgecv convert-openvino` makes of a model, beside NNCF's int8: accuracy and speed.

    python benchmarks/openvino_vs_nncf.py MODEL.onnx... --calibration DIR --data DIR --work DIR
        [--md FILE] [--json FILE] [--threads N] [--seconds S]

Rows: fp32, fp16, edgecv's int8 and NNCF's int8, all of them OpenVINO's IR run by OpenVINO. The
labelled images are divided in two: forms are chosen on one half, every accuracy in the table
comes from the other. Speeds are taken in interleaved blocks, one process a row. `kept` is what
`--precision int8 --quantizer auto` keeps: by the first half, in a gate of 1 %.

`--work` keeps what was made: `MODEL/edgecv.onnx` and `MODEL/nncf-openvino.xml` are used where
they stand. Needs NNCF: pip install -e '.[nncf]'
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from peers.figures import size_of
from peers.halves import RULE, Halves, split
from peers.ways import OPENVINO, ORT, Job, edgecv, nncf_openvino

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.context import Context
from edgecv_cli.measure.accuracy import evaluate_detections, paired_drop
from edgecv_cli.measure.agreement import agreement
from edgecv_cli.measure.hardware import machine
from edgecv_cli.measure.lane import BenchRow
from edgecv_cli.measure.latency import benchmark
from edgecv_cli.measure.latency_result import LatencyResult
from edgecv_cli.measure.self_map import Found, look
from edgecv_cli.media.class_map import map_classes
from edgecv_cli.runtime.openvino_convert import write_ir
from edgecv_cli.stages.convert_openvino_choice import Contender, Speed, choose

EDGECV = {"target": "openvino", "precision": "auto", "max_drop": "1%"}
GATE = 0.01
HEAD = (
    "| model | file | mAP50-95 | lost | agreement | p50 ms | against fp32 | MB | layers |\n"
    "|---|---|---|---|---|---|---|---|---|\n"
)


@dataclass(frozen=True)
class Row:
    """One IR; figures are of the judging half but ``choice`` and ``kept``."""

    name: str
    path: Path
    map: float = 0.0
    lost: float = 0.0
    interval: tuple[float, float] | None = None
    agreement: float | None = None
    choice: float = 0.0
    layers: str = ""
    p50_ms: float | None = None
    speed: tuple[float, float, float] | None = None
    kept: bool = False


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def made(job: Job, folder: Path) -> list[Row]:
    """Make all four, or take what stands."""
    stem = job.artifact.path.stem
    qdq, nncf = folder / "edgecv.onnx", folder / "nncf-openvino.xml"
    if not qdq.is_file():
        say(f"{stem}: edgecv quantize")
        edgecv(job, qdq, EDGECV)
    if not nncf.is_file():
        say(f"{stem}: NNCF")
        nncf_openvino(job, nncf)
    rows = []
    for name, source, half in (
        ("fp32", job.artifact.path, False),
        ("fp16", job.artifact.path, True),
        ("edgecv int8", qdq, False),
    ):
        xml = folder / f"{name.replace(' ', '-')}.xml"
        fold = Artifact.open(source).facts().precision == "fp32"
        write_ir(source, xml, half=half, fold=fold, shapes={}, entries={})
        rows.append(Row(name, xml))
    return [*rows, Row("NNCF int8", nncf)]


def accuracies(rows: list[Row], job: Job, halves: Halves) -> list[Row]:
    """Run every row over all labelled images, beside the original on ONNX Runtime."""
    data, spec = halves.everything, job.spec
    classes = map_classes(spec.classes, data, background=spec.background)
    judged = set(halves.judged)
    chosen = [place for place in range(len(data.items)) if place not in judged]
    rest = replace(data, items=tuple(data.items[place] for place in chosen))
    paths = [item.path for item in data.items]

    def found(path: Path, engine: str) -> Found:
        artifact = Artifact.open(path)
        return look(
            artifact, spec, paths, Context(), engine=engine, threads=job.threads, name=path.name
        )

    def scored(seen: Found, *, half: bool) -> Any:
        places, part = (halves.judged, halves.judge) if half else (chosen, rest)
        return evaluate_detections(part, [seen.scored[place] for place in places], classes)

    original = found(job.artifact.path, ORT)
    before = scored(original, half=True)
    filled = []
    for row in rows:
        seen = found(row.path, OPENVINO)
        after = scored(seen, half=True)
        lost = paired_drop(before, after)
        plain = [[one.plain[place] for place in halves.judged] for one in (original, seen)]
        filled.append(
            replace(
                row,
                map=after.map,
                lost=lost.drop.points,
                interval=(lost.points.low, lost.points.high) if lost.points else None,
                agreement=agreement(plain[0], plain[1], spec.score_threshold).agreement,
                choice=scored(seen, half=False).map,
            )
        )
    return filled


def _bench(rows: list[Row], job: Job, seconds: float) -> LatencyResult:
    asked = [BenchRow(row.path.absolute(), OPENVINO, job.threads, job.spec) for row in rows]
    return benchmark(asked, duration_s=seconds, launches=3, context=Context())


def speeds(rows: list[Row], job: Job, seconds: float) -> list[Row]:
    """Time all rows in turns, against the first; then keep one of the int8 forms."""
    result = _bench(rows, job, seconds)
    ratios = [None, *((one.ratio, one.low, one.high) for one in result.ratios)]
    timed = [
        replace(row, p50_ms=run.p50_ms, speed=ratio, layers=run.precision or row.layers)
        for row, run, ratio in zip(rows, result.runs, ratios, strict=True)
    ]
    kept = _kept(timed, job, seconds)
    return [replace(row, kept=row.name == kept) for row in timed]


def _kept(rows: list[Row], job: Job, seconds: float) -> str:
    fp32, ours, theirs = rows[0], rows[2], rows[3]
    within = [row for row in (ours, theirs) if row.choice >= fp32.choice * (1 - GATE)]
    if len(within) < 2:
        return within[0].name if within else fp32.name
    ratio = _bench([ours, theirs], job, seconds).ratios[0]
    sides = [Contender(row.name, "mAP", row.choice) for row in (ours, theirs)]
    place, why = choose(*sides, Speed(ratio.ratio, ratio.low, ratio.high), "balanced")
    say(why)
    return within[place].name


def table(model: str, rows: list[Row]) -> str:
    """Return a model's lines."""
    lines = []
    for row in rows:
        span = f" ({row.interval[0]:.1f} to {row.interval[1]:.1f})"
        speed = "" if row.speed is None else "{:.2f} ({:.2f} to {:.2f})".format(*row.speed)
        cells = (
            *(model, f"**{row.name}**, kept" if row.kept else row.name, f"{row.map:.3f}"),
            f"{row.lost:.1f}{span if row.interval else ''}",
            *(f"{row.agreement:.4f}", f"{row.p50_ms:.2f}", speed),
            *(f"{size_of(row.path) / 1e6:.2f}", row.layers),
        )
        lines.append("| " + " | ".join(cells) + " |\n")
    return "".join(lines)


def how(options: argparse.Namespace, halves: Halves) -> str:
    """Say how the figures were made."""
    here = machine(options.threads)
    versions = ", ".join(f"{name} {version}" for name, version in here.engines.items())
    return (
        f"{here.cpu}, {here.cores} cores ({', '.join(here.instruction_sets)}); {versions}; "
        f"{options.threads} thread(s). {len(halves.everything.items)} labelled images, "
        f"{len(halves.judged)} of them judge ({RULE}, SEED {options.seed}); calibration on "
        f"{options.images}. Intervals are 95 %; lost: points against ONNX Runtime fp32, paired; "
        f"against fp32: time(fp32 IR) / time(row), {options.seconds:g} s a row in three launches, "
        "interleaved.\n\n"
    )


def main() -> None:
    """Compare, writing after every model."""
    options = _options()
    options.work.mkdir(parents=True, exist_ok=True)
    halves = split(options.data, options.work, options.seed)
    page, figures = how(options, halves) + HEAD, {}
    for model in options.models:
        artifact = Artifact.open(model)
        folder = options.work / model.stem
        folder.mkdir(exist_ok=True)
        job = Job(
            artifact=artifact,
            spec=artifact.detector().spec,
            calibration=options.calibration,
            images=options.images,
            choice=halves.choice,
            threads=options.threads,
        )
        say(model.stem)
        rows = speeds(accuracies(made(job, folder), job, halves), job, options.seconds)
        page += table(model.stem, rows)
        figures[model.stem] = [{**row.__dict__, "path": row.path.name} for row in rows]
        if options.md:
            options.md.write_text(page, encoding="utf-8")
        if options.json:
            options.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    print(page)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", type=Path, nargs="+")
    for name in ("--calibration", "--data", "--work"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--md", type=Path)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
