"""What detectors keep of their accuracy as they are pruned, budget by budget.

    python benchmarks/prune_table.py MODEL.onnx [...] --data coco/ --calibration photos/ --out DIR
        [--keep 0.9 0.8 0.7 0.5] [--recover none bias reconstruct] [--timings-only]

One analysis of a model serves all of its budgets, and every row is written to DIR/rows.jsonl as
soon as it is there: started again, the study goes on where it stopped. A row of accuracy has mAP
before and after, the drop in points with its 95 % interval (paired bootstrap over images) and the
seconds that the recovery took; a row of time the ratio of latencies, original over pruned, with
interleaved rounds over three launches. --timings-only times what lies in DIR anew. --print shows
the table of what is there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.lineage import SPEC_KEY
from edgecv_cli.config.prune import PruneConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.scratch import scratch
from edgecv_cli.graph.io import serialize, with_metadata
from edgecv_cli.measure.accuracy import paired_drop
from edgecv_cli.measure.hardware import machine
from edgecv_cli.measure.latency import compare_speed
from edgecv_cli.measure.prediction import evaluate_artifact
from edgecv_cli.stages.prune import read_given
from edgecv_cli.stages.prune_choice import Choice

Row = dict[str, Any]


class Rows:
    """Rows that stand in a file, each at once; the last of a key counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self.all = {self._key(row): row for row in map(json.loads, lines)}

    def has(self, *key: Any) -> bool:
        return key in self.all

    def add(self, row: Row) -> None:
        self.all[self._key(row)] = row
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)

    @staticmethod
    def _key(row: Row) -> tuple[Any, ...]:
        return (row["kind"], row["model"], row.get("keep"), row.get("recover"))


class Study:
    """One model over all budgets."""

    def __init__(self, model: Path, options: argparse.Namespace, folder: Path, rows: Rows) -> None:
        self._name, self._options, self._rows = model.stem, options, rows
        self._config = PruneConfig(
            model=model,
            output=options.out / "unused.onnx",
            calibration=options.calibration,
            data=options.data,
            images=options.images,
            limit=options.limit,
            importance=options.importance,
            cap=options.cap,
            round_to=options.round_to,
            target_flops=min(options.keep),
            threads=options.threads,
        )
        self._context = Context()
        self._given = read_given(self._config, self._context)
        self._choice = Choice(self._given, self._config, folder, self._context)
        self._before: Any = None

    def run(self) -> None:
        for keep in sorted(self._options.keep, reverse=True):
            removed, share = self._shared_out(keep)
            for recover in self._options.recover:
                if not self._rows.has("accuracy", self._name, keep, recover):
                    self._rows.add(self._row(keep, removed, share, recover))
        self.time()

    def time(self) -> None:
        """Time the pruned files, whose times do not depend on how weights were fitted."""
        for keep in sorted(self._options.keep, reverse=True):
            known = self._rows.has("time", self._name, keep, None)
            path = self._path(keep, "reconstruct")
            if path.exists() and (not known or self._options.timings_only):
                self._rows.add(self._timed(keep, path))

    def _shared_out(self, keep: float) -> tuple[frozenset[int], float]:
        kept = self._options.out / f"{self._name}_{keep:g}.json"
        if not kept.exists():
            began = time.perf_counter()
            self._choice.curves  # noqa: B018 - measured here, so that it can be timed
            seconds = time.perf_counter() - began
            if not self._rows.has("choose", self._name, None, None):
                self._rows.add({"kind": "choose", "model": self._name, "seconds": seconds})
            removed = self._choice.share_out(keep)
            flow = self._given.flow
            share = flow.macs(removed) / flow.macs(())
            seconds = time.perf_counter() - began - seconds
            about = {"removed": sorted(removed), "share": share, "seconds": seconds}
            kept.write_text(json.dumps(about))
        found = json.loads(kept.read_text())
        return frozenset(found["removed"]), found["share"]

    def _row(self, keep: float, removed: frozenset[int], share: float, recover: Any) -> Row:
        began = time.perf_counter()
        model, fits = self._choice.made(removed, recover)
        seconds = time.perf_counter() - began
        path = self._path(keep, recover)
        path.write_bytes(serialize(with_metadata(model, {SPEC_KEY: self._given.spec.dumps()})))
        before, after = self._original(), self._accuracy(Artifact.open(path))
        drop = paired_drop(before, after)
        assert drop.points is not None
        return {
            "kind": "accuracy",
            "model": self._name,
            "keep": keep,
            "recover": recover,
            "flops": share,
            "bytes": path.stat().st_size,
            "before": before.map,
            "after": after.map,
            "points": drop.drop.points,
            "low": drop.points.low,
            "high": drop.points.high,
            "images": after.images,
            "layers": len(fits),
            "seconds": seconds,
        }

    def _original(self) -> Any:
        if self._before is None:
            self._before = self._accuracy(self._given.artifact)
        return self._before

    def _accuracy(self, artifact: Artifact) -> Any:
        assert self._given.data is not None
        found = evaluate_artifact(
            artifact,
            self._given.spec,
            self._given.data,
            self._context,
            engine="onnxruntime",
            threads=self._options.threads,
        )
        return found.accuracy

    def _timed(self, keep: float, path: Path) -> Row:
        found = compare_speed(
            self._config.model,
            path,
            engine="onnxruntime",
            threads=self._options.threads,
            seconds=self._options.seconds,
            context=self._context,
            spec=self._given.spec,
        )
        return {
            "kind": "time",
            "model": self._name,
            "keep": keep,
            "ratio": found.ratio,
            "low": found.low,
            "high": found.high,
            "rounds": found.rounds,
            "p50_ms": [found.baseline.p50_ms, found.candidate.p50_ms],
        }

    def _path(self, keep: float, recover: str) -> Path:
        folder: Path = self._options.out
        return folder / f"{self._name}_{keep:g}_{recover}.onnx"


def table(rows: Rows, recovers: list[str]) -> Iterator[str]:
    """Yield the lines of a Markdown table of what is there."""
    yield f"| | asked | kept | {' | '.join(recovers)} | points lost (95 %) | speed (95 %) | fit |"
    yield "|---" * (6 + len(recovers)) + "|"
    found = [row for row in rows.all.values() if row["kind"] == "accuracy"]
    for name, keep in dict.fromkeys((row["model"], row["keep"]) for row in found):
        cells = [rows.all.get(("accuracy", name, keep, one)) for one in recovers]
        maps = " | ".join("" if one is None else f"{one['after']:.3f}" for one in cells)
        last = rows.all.get(("accuracy", name, keep, "reconstruct"))
        timed = rows.all.get(("time", name, keep, None))
        speed = f"{timed['ratio']:.2f} ({timed['low']:.2f}..{timed['high']:.2f})" if timed else ""
        if last is not None:
            lost = f"{last['points']:.1f} ({last['low']:.1f}..{last['high']:.1f})"
            label = f"{name} ({last['before']:.3f})"
            fit = f"{last['seconds']:.0f} s"
            kept = f"{keep:g} | {last['flops']:.3f}"
            yield f"| {label} | {kept} | {maps} | {lost} | {speed} | {fit} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, nargs="*")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--calibration", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--keep", type=float, nargs="+", default=[0.9, 0.8, 0.7, 0.5])
    parser.add_argument("--recover", nargs="+", default=["none", "bias", "reconstruct"])
    parser.add_argument("--importance", default="damage")
    parser.add_argument("--cap", type=float, default=0.5)
    parser.add_argument("--round-to", type=int, default=8)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--timings-only", action="store_true")
    parser.add_argument("--print", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rows = Rows(options.out / "rows.jsonl")
    if not options.print:
        rows.add(
            {
                "kind": "machine",
                "model": None,
                **machine(options.threads).model_dump(mode="json", exclude_none=True),
            }
        )
        for model in options.models:
            with scratch() as folder:
                study = Study(model, options, folder, rows)
                study.time() if options.timings_only else study.run()
    print("\n".join(table(rows, options.recover)))


if __name__ == "__main__":
    main()
