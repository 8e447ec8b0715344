"""What equalisation, bias correction and adaptive rounding are worth, each alone and together.

    python benchmarks/corrections_ablation.py MODEL.onnx... --calibration DIR --data DIR
        [--targets cpu-x86 cpu-x86-vnni] [--placements all last2] [--variants none equalise ...]
        [--images 64]

Every variant of a model has the same images, ranges (mean of minima and maxima) and placement;
integers are run in float arithmetic as they are written, so that no kernel saturates. Prints a
Markdown table: mAP50-95 on the labelled images, the difference to fp32 in points, mAP50-95 against
what fp32 finds in them (a finer measure of damage), and the seconds that the corrections took on
top of observing.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.compress.quantization.apply import apply_normalised
from edgecv_cli.compress.quantization.corrections import correct
from edgecv_cli.compress.quantization.equalise import channel_ranges, equalisation, equalised
from edgecv_cli.compress.quantization.evidence import Evidence, gather, read_topology
from edgecv_cli.compress.quantization.plan import EqualisePlan
from edgecv_cli.compress.quantization.propose import propose
from edgecv_cli.compress.quantization.recipe import Recipe, spread
from edgecv_cli.compress.quantization.targets import resolve_target
from edgecv_cli.compress.walk import exact_opener
from edgecv_cli.core.context import Context
from edgecv_cli.graph.inspect import input_specs
from edgecv_cli.graph.io import serialize
from edgecv_cli.inference.calibration import CalibrationFeed
from edgecv_cli.measure.accuracy import evaluate_detections
from edgecv_cli.measure.self_map import look, self_map, truth_of
from edgecv_cli.media.class_map import map_classes
from edgecv_cli.media.dataset import Dataset, open_dataset
from edgecv_cli.media.images import open_images

VARIANTS = {
    "none": (),
    "equalise": ("equalise",),
    "mean bias": ("mean bias",),
    "bias": ("bias",),
    "rounding": ("rounding",),
    "equalise + mean bias": ("equalise", "mean bias"),
    "equalise + bias": ("equalise", "bias"),
    "mean bias + rounding": ("mean bias", "rounding"),
    "equalise + mean bias + rounding": ("equalise", "mean bias", "rounding"),
    "bias + rounding": ("bias", "rounding"),
    "all": ("equalise", "bias", "rounding"),
}
# With weights that 16-bit sums can hold, and with all that 8 bits have.
TARGETS = ("cpu-x86", "cpu-x86-vnni")


class Subject:
    """One model with what was observed of it, equalised and not."""

    def __init__(self, path: Path, options: argparse.Namespace, folder: Path) -> None:
        self._options = options
        self._folder = folder
        self._artifact = Artifact.open(path)
        self._spec = self._artifact.detector().spec
        self._data: Dataset = open_dataset(options.data, limit=options.limit)
        paths = open_images(options.calibration, options.images).paths
        self._paths = spread(paths, options.images)
        self._topology = read_topology(self._artifact, None)
        self._truth: Dataset | None = None
        self._views: dict[bool, tuple[Evidence, tuple[EqualisePlan, ...], float]] = {}

    def map_of(self, path: Path) -> tuple[float, float]:
        """Return mAP50-95 of a model file, by the labels and against the original."""
        found = look(
            Artifact.open(path),
            self._spec,
            [item.path for item in self._data.items],
            Context(),
            engine="onnxruntime",
            threads=self._options.threads,
            name=path.stem,
            exact=True,
        )
        classes = map_classes(self._spec.classes, self._data, background=self._spec.background)
        if self._truth is None:
            paths = [item.path for item in self._data.items]
            self._truth = truth_of(paths, found.plain, self._spec.classes)
        labelled = evaluate_detections(self._data, found.scored, classes, resamples=0).map
        return labelled, self_map(self._truth, found.scored)

    def original(self) -> tuple[float, float]:
        """Return mAP50-95 of the model as it is."""
        return self.map_of(self._artifact.path)

    def variant(
        self, placement: str, target: str, flags: tuple[str, ...]
    ) -> tuple[tuple[float, float], float]:
        """Return the accuracies of a corrected model, and the seconds that its corrections took."""
        evidence, pairs, seconds = self._view("equalise" in flags)
        recipe = Recipe(placement, self._options.estimator, "mean bias" in flags)
        plan = propose(
            evidence.topology,
            evidence.observed,
            recipe,
            resolve_target(target),
            source=evidence.source,
            input_size=None,
        ).model_copy(update={"equalise": pairs})
        started = time.perf_counter()
        plan = correct(
            self._topology,
            plan,
            self._feed(),
            open_model=exact_opener(self._folder, self._options.threads),
            context=Context(),
            bias="bias" in flags,
            rounding="rounding" in flags,
        )
        seconds += time.perf_counter() - started
        path = self._folder / "variant.onnx"
        path.write_bytes(serialize(apply_normalised(self._topology, plan)))
        return self.map_of(path), seconds

    def _view(self, equalise: bool) -> tuple[Evidence, tuple[EqualisePlan, ...], float]:
        if equalise not in self._views:
            started = time.perf_counter()
            pairs: tuple[EqualisePlan, ...] = ()
            if equalise:
                opener = exact_opener(self._folder, self._options.threads)
                ranges = channel_ranges(
                    self._topology, self._feed(), open_model=opener, context=Context()
                )
                pairs = equalisation(self._topology, ranges)
            topology = equalised(self._topology, pairs)
            spent = time.perf_counter() - started
            self._views[equalise] = self._observe(topology), pairs, spent
        return self._views[equalise]

    def _feed(self) -> CalibrationFeed:
        inputs = input_specs(self._topology.model)
        return CalibrationFeed(self._paths, inputs, self._spec, Context())

    def _observe(self, topology) -> Evidence:  # type: ignore[no-untyped-def]
        evidence = gather(
            self._artifact,
            topology,
            self._spec,
            self._paths,
            input_size=None,
            engine="onnxruntime",
            threads=self._options.threads,
            context=Context(),
        )
        return replace(evidence, topology=topology)


def ablate(model: Path, options: argparse.Namespace, folder: Path) -> None:
    subject = Subject(model, options, folder)
    original, itself = subject.original()
    print(f"| {model.stem} | | | fp32 | {original:.4f} | | {itself:.3f} | |", flush=True)
    for target in options.targets:
        for placement in options.placements:
            for name in options.variants:
                (value, against), seconds = subject.variant(placement, target, VARIANTS[name])
                print(
                    f"| {model.stem} | {target} | {placement} | {name} | {value:.4f} | "
                    f"{100 * (value - original):+.1f} | {against:.3f} | {seconds:.0f} |",
                    flush=True,
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--limit", type=int, help="labelled images (default: all)")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--placements", nargs="+", default=["all"])
    parser.add_argument("--estimator", default="mean-minmax")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    print("| model | target | placement | corrections | mAP50-95 | points | self-mAP | seconds |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for model in options.models:
            ablate(model, options, Path(folder))


if __name__ == "__main__":
    main()
