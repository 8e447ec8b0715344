"""Which kinds of tensors cost a detector its accuracy in 8 bits, by ablation.

    python benchmarks/diagnose_groups.py MODEL.onnx... --calibration DIR --data DIR
        [--bits 8] [--estimator mean-minmax] [--images 64] [--threads N]
        [--kinds KIND...] [--together KIND...]

Every node that can runs in integers; each line then takes one kind of tensor off its grid
("all but"), or puts that kind alone on one ("only"); --together takes ever more kinds off, in the
order they are named. Integers are run in float arithmetic as they
are written, so that no kernel saturates. Prints a Markdown table: number of tensors, mAP50-95 on
the labelled images, and the detection loss against fp32 on the same images (0: nothing changed).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.compress.quantization.apply import store_layer
from edgecv_cli.compress.quantization.evidence import gather, read_topology
from edgecv_cli.compress.quantization.propose import propose
from edgecv_cli.compress.quantization.recipe import Recipe
from edgecv_cli.compress.quantization.targets import resolve_target
from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.context import Context
from edgecv_cli.detector.profiles import EVALUATION
from edgecv_cli.graph.grid import Grid
from edgecv_cli.graph.io import serialize
from edgecv_cli.graph.qdq import insert_qdq
from edgecv_cli.graph.topology import Topology
from edgecv_cli.inference.predictor import open_predictor
from edgecv_cli.measure.accuracy import evaluate_detections
from edgecv_cli.measure.detection_loss import detection_loss, loss_profile
from edgecv_cli.measure.self_map import predict_profiles
from edgecv_cli.media.class_map import map_classes
from edgecv_cli.media.dataset import open_dataset
from edgecv_cli.media.images import open_images

WEIGHTS = "weights"
TARGETS = {7: "cpu-x86", 8: "cpu-x86-vnni"}


def kind_of(topology: Topology, tensor: str) -> str:
    """Return what a tensor is to the layers around it."""
    producer = topology.producer.get(tensor)
    if producer is None:
        return "input"
    if producer in topology.heads:
        return "read by the decode tail"
    readers = [topology.nodes[name] for name in topology.consumers.get(tensor, [])]
    depthwise = any(
        node.output[0] in topology.layers and topology.layers[node.output[0]].depthwise
        for node in readers
    )
    layer = topology.layers.get(producer)
    if layer is not None and layer.depthwise:
        return "depthwise output"
    if depthwise:
        return "depthwise input"
    operation = topology.nodes[producer].op_type
    if layer is not None:
        gates = any(node.op_type in ("HardSigmoid", "Sigmoid") for node in readers)
        return "layer output before a gated activation" if gates else "layer output"
    if operation == "Mul":
        gated = topology.activations(producer)
        shapes = {topology.shapes.get(name) for name in gated}
        return "channel gate output" if len(shapes) > 1 else "gated activation output"
    return f"{operation} output"


class Subject:
    """One model, its plan with every node in integers, and the images that judge it."""

    def __init__(self, path: Path, options: argparse.Namespace, folder: Path) -> None:
        self._artifact = Artifact.open(path)
        self._spec = self._artifact.detector().spec
        self._data = open_dataset(options.data, limit=options.limit)
        self._threads = options.threads
        self._file = folder / "ablated.onnx"
        self.topology = read_topology(self._artifact, None)
        evidence = gather(
            self._artifact,
            self.topology,
            self._spec,
            open_images(options.calibration, options.images).paths,
            input_size=None,
            engine="onnxruntime",
            threads=options.threads,
            context=Context(),
        )
        self._plan = propose(
            self.topology,
            evidence.observed,
            Recipe(options.placement, options.estimator),
            resolve_target(TARGETS[options.bits]),
            source=evidence.source,
            input_size=None,
        )
        self.kinds: dict[str, list[str]] = {WEIGHTS: list(self._plan.layers)}
        for tensor in self._plan.grids:
            self.kinds.setdefault(kind_of(self.topology, tensor), []).append(tensor)
        self._original = self._look(path)

    def original(self) -> float:
        """Return mAP50-95 of the model as it is."""
        return self._map(self._original[0])

    def ablated(self, tensors: set[str], weights: bool) -> tuple[float, float]:
        """Return mAP50-95, and the loss against fp32, with these tensors on their grids."""
        stored = self._plan.layers if weights else {}
        model = insert_qdq(
            self.topology.model,
            nodes=set(self._plan.nodes),
            grids={
                name: Grid(grid.scale, grid.zero_point, grid.bits, grid.signed)
                for name, grid in self._plan.grids.items()
                if name in tensors
            },
            weights={
                name: store_layer(self.topology, self.topology.layers[name], layer, None)
                for name, layer in stored.items()
            },
            dropped=frozenset(),
            bias="float",
        )
        self._file.write_bytes(serialize(model))
        scored, plain = self._look(self._file)
        return self._map(scored), detection_loss(self._original[1], plain)

    def _look(self, path: Path) -> list[list[Detections]]:
        predictor = open_predictor(
            Artifact.open(path),
            self._spec,
            engine="onnxruntime",
            threads=self._threads,
            exact=True,
        )
        paths = [item.path for item in self._data.items]
        profiles = (EVALUATION, loss_profile(self._spec))
        try:
            return predict_profiles(predictor, paths, profiles, Context(), name=path.stem)
        finally:
            predictor.close()

    def _map(self, found: list[Detections]) -> float:
        classes = map_classes(self._spec.classes, self._data, background=self._spec.background)
        return evaluate_detections(self._data, found, classes, resamples=0).map


def cases(kinds: dict[str, list[str]]) -> Iterator[tuple[str, str, set[str], bool]]:
    """Yield kind, direction, tensors on a grid, and whether weights are stored."""
    every = {name for kind, names in kinds.items() if kind != WEIGHTS for name in names}
    yield "everything", "all", every, True
    for kind, names in kinds.items():
        if kind == WEIGHTS:
            yield kind, "all but", every, False
            yield kind, "only", set(), True
        else:
            yield kind, "all but", every - set(names), True
            yield kind, "only", set(names), False


def together(
    kinds: dict[str, list[str]], named: list[str]
) -> Iterator[tuple[str, str, set[str], bool]]:
    """Yield cases with ever more kinds off their grids."""
    left = {name for kind, names in kinds.items() if kind != WEIGHTS for name in names}
    yield "everything", "all", set(left), True
    known = [kind for kind in named if kind in kinds]
    for index, kind in enumerate(known):
        left -= set(kinds[kind])
        yield (
            " + ".join(known[: index + 1]),
            "all but",
            set(left),
            WEIGHTS not in known[: index + 1],
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--limit", type=int, help="labelled images (default: all)")
    parser.add_argument("--bits", type=int, choices=sorted(TARGETS), default=8)
    parser.add_argument("--placement", default="all")
    parser.add_argument("--estimator", default="mean-minmax")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--kinds", nargs="+", help="only these (default: all)")
    parser.add_argument("--together", nargs="+", default=[], help="ever more of these, instead")
    options = parser.parse_args()
    print("| model | tensors on a grid | count | mAP50-95 | points | loss |")
    print("|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for path in options.models:
            subject = Subject(path, options, Path(folder))
            base = subject.original()
            print(f"| {path.stem} | none (fp32) | 0 | {base:.4f} | | 0.000 |", flush=True)
            chosen = together(subject.kinds, options.together) if options.together else None
            for kind, direction, tensors, weights in chosen or cases(subject.kinds):
                if options.kinds and kind not in (*options.kinds, "everything"):
                    continue
                value, loss = subject.ablated(tensors, weights)
                print(
                    f"| {path.stem} | {direction} {kind} | {len(subject.kinds.get(kind, ()))} | "
                    f"{value:.4f} | {100 * (value - base):+.1f} | {loss:.3f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
