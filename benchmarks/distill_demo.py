"""What distillation is worth on the built-in detector, whose training scenes are drawn.

    OMP_NUM_THREADS=1 python benchmarks/distill_demo.py --work DIR [--scenes N] [--only PART]...

Parts, each from the files of those before it, kept in the work folder:

    half      half of the multiply-accumulates pruned, weights fitted anew (no training)
    tuned     that one, taught by the whole detector
    quarter   a quarter of the weights: every second channel left out, all weights drawn anew, each
              layer scaled to unit variance on drawn scenes (Mishkin and Matas 2016, "All you need
              is a good init")
    labels    that one, taught by labels (--control labels)
    objects   that one, taught by what the whole detector finds: same start, images, updates, rate
    dense     that one, taught by each candidate of the whole detector, likewise
    features  that one, taught by each candidate and by feature maps, likewise
    table     mAP of all on the 440 labelled scenes, and what they cost

Training scenes are drawn (series 45, which nothing else uses); their labels are read by the part
``labels`` alone. The labelled scenes of ``calibration_data/validation`` only judge.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.lineage import SPEC_KEY
from edgecv_cli.compress.pruning.cut import cut
from edgecv_cli.config.distill import DistillConfig
from edgecv_cli.config.evaluate import EvaluateConfig
from edgecv_cli.config.prune import PruneConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import GateNotMetError
from edgecv_cli.detector.feeding import InputFeed
from edgecv_cli.graph.inspect import input_specs
from edgecv_cli.graph.io import with_metadata
from edgecv_cli.media.images import open_images, read_image
from edgecv_cli.stages.distill import distill
from edgecv_cli.stages.evaluate import evaluate
from edgecv_cli.stages.prune import prune
from edgecv_cli.stages.prune_job import flow_of

ROOT = Path(__file__).parents[1]
DATA = ROOT / "calibration_data"
ORIGINAL = DATA / "builtin_detector.onnx"
SERIES = 45
PARTS = ("half", "tuned", "quarter", "labels", "objects", "dense", "features", "table")


def draw(folder, count):
    if (folder / "instances.json").exists():
        return
    sys.path.insert(0, str(DATA))
    from make_data import write_split

    write_split(folder, SERIES, count)


def rescaled(model, feeds):
    """Draw every convolution's weights anew, each layer to unit variance on ``feeds``."""
    import onnxruntime as ort

    rng = np.random.default_rng(0)
    stored = {one.name: one for one in model.graph.initializer}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    heads = {node.output[0]: node for node in convolutions if ".scores.1" in node.input[1]}
    borders = {node.output[0]: node for node in convolutions if ".borders.1" in node.input[1]}

    def put(name, value):
        stored[name].CopyFrom(numpy_helper.from_array(value.astype(np.float32), name))

    for node in convolutions:
        shape = tuple(stored[node.input[1]].dims)
        put(node.input[1], rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape))
        put(node.input[2], np.zeros(shape[0]))
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    for node in convolutions:
        seen = onnx.ModelProto()
        seen.CopyFrom(model)
        del seen.graph.output[:]
        seen.graph.output.append(onnx.helper.make_empty_tensor_value_info(node.output[0]))
        session = ort.InferenceSession(seen.SerializeToString(), options)
        made = np.stack([session.run(None, feed)[0] for feed in feeds])
        axes = (0, 1, 3, 4)
        spread = made.std(axis=axes) + 1e-6
        shrink = 0.1 if node.output[0] in (*heads, *borders) else 1.0
        weight = numpy_helper.to_array(stored[node.input[1]])
        put(node.input[1], weight * (shrink / spread)[:, None, None, None])
        bias = -made.mean(axis=axes) * shrink / spread
        if node.output[0] in heads:
            bias -= np.log(99)  # a score of 0.01: nearly every cell is background
        if node.output[0] in borders:
            bias += 1.0
        put(node.input[2], bias)


class Bench:
    def __init__(self, options):
        self.options, self.work = options, options.work
        self.scenes = self.work / "scenes"
        self.context = Context()
        draw(self.scenes, options.scenes)

    def half(self):
        config = PruneConfig(
            model=ORIGINAL, output=self.work / "half.onnx", calibration=self.scenes / "images",
            target_flops=0.5, round_to=4, cap=0.6, force=True, min_agreement=0.0,
            speed_seconds=0, threads=1,
        )  # fmt: skip
        made = prune(config, self.context)
        self.note("half", flops=made.flops_ratio, seconds=made.seconds)

    def tuned(self):
        self.learn("tuned", "half", steps=self.options.steps, rate=0.003, teacher=ORIGINAL)

    def quarter(self):
        artifact = Artifact.open(ORIGINAL)
        flow, spec = flow_of(artifact, None), artifact.detector().spec
        removed = {int(unit) for group in flow.groups for unit in group.units[::2]}
        model = cut(flow, flow.survivable(removed))
        feed = InputFeed(input_specs(model), spec)
        feeds = []
        for path in open_images(self.scenes / "images", 16).paths:
            feed.fill(read_image(path))
            feeds.append({name: value.copy() for name, value in feed.feeds.items()})
        rescaled(model, feeds)
        onnx.save(with_metadata(model, {SPEC_KEY: spec.dumps()}), self.work / "quarter.onnx")

    def labels(self):
        self.learn("labels", "quarter", rate=self.options.rate, control="labels")

    def objects(self):
        self.learn("objects", "quarter", rate=self.options.rate, teacher=ORIGINAL, lesson="objects")

    def dense(self):
        self.learn("dense", "quarter", rate=self.options.rate, teacher=ORIGINAL, lesson="dense")

    def features(self):
        rate, teacher = self.options.rate, ORIGINAL
        self.learn("features", "quarter", rate=rate, teacher=teacher, lesson="features")

    def learn(self, name, student, *, rate, steps=None, **how):
        steps, rejected = steps or self.options.steps, self.work / f"{name}-rejected.onnx"
        config = DistillConfig(
            model=self.work / f"{student}.onnx", output=self.work / f"{name}.onnx",
            images=self.scenes, steps=steps, learning_rate=rate, batch=self.options.batch,
            amp=self.options.amp, patience=100_000, speed_seconds=0, threads=1, force=True,
            min_agreement=0.0, keep_rejected=rejected, **how,
        )  # fmt: skip
        began = time.perf_counter()
        try:
            made = distill(config, self.context)
        except GateNotMetError as error:
            made = error.result
            rejected.replace(self.work / f"{name}.onnx")
            print(name, "gate:", error, flush=True)
        losses = [(row.step, round(row.distance, 4)) for row in made.losses]
        self.note(
            name, steps=made.steps, best=made.best, ended=made.ended, retreats=made.retreats,
            lesson=made.lesson, seconds=time.perf_counter() - began, losses=losses,
        )  # fmt: skip

    def note(self, name, **facts):
        (self.work / f"{name}.json").write_text(json.dumps(facts))
        print(name, facts, flush=True)

    def table(self):
        base = None
        for path in (ORIGINAL, *(self.work / f"{name}.onnx" for name in PARTS[:-1])):
            if not path.exists():
                continue
            config = EvaluateConfig(model=path, data=DATA / "validation", threads=1)
            found = evaluate(config, self.context)
            base = base or found
            weights = Artifact.open(path).facts(None).parameters
            print(
                f"{path.stem:18} mAP50-95 {found.map:.4f}  mAP50 {found.map50:.4f}  "
                f"{100 * (found.map - base.map):+.1f} points  {weights} weights",
                flush=True,
            )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rate", type=float, default=0.03)
    parser.add_argument("--amp", action="store_true")
    parser.add_argument("--only", action="append", choices=PARTS)
    options = parser.parse_args()
    bench = Bench(options)
    for part in options.only or PARTS:
        getattr(bench, part)()


if __name__ == "__main__":
    main()
