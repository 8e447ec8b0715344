"""Another activation function, and integers that are trained, on variants of the built-in detector.

    OMP_NUM_THREADS=1 python benchmarks/swap_and_qat.py --work DIR [--scenes N] [--share F]
        [--only PART]...

Parts, each from the files of those before it, kept in the work folder:

    silu   the built-in detector with SiLU for ReLU, tuned towards the original
    relu   that one with ReLU again, tuned towards its SiLU form
    sep    the SiLU form with the 3x3 convolutions of its heads as depthwise and pointwise ones, by
           the best rank-1 fit of each input channel, tuned towards the original
    uneven that one with its depthwise channels scaled by factors of 1 to 250, which the pointwise
           convolution behind undoes: the same numbers in float, and what int8 finds hard. (As it
           is, int8 costs it nothing)
    qat    every op of the uneven one in integers: as quantized, and trained so
    table  mAP of all on the 440 labelled scenes, and int8 against fp32 in CPU time of one thread,
           interleaved: ReLU and SiLU

Training scenes are drawn (series 44, which nothing else uses) and have no labels here. What is
trained is distilled; the labelled scenes only judge.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.lineage import SPEC_KEY
from edgecv_cli.compress.quantization.apply import apply_normalised
from edgecv_cli.compress.training.finetune import finetune
from edgecv_cli.compress.training.mode import PLAIN, Mode
from edgecv_cli.compress.training.pictures import Pictures
from edgecv_cli.compress.training.schedule import Recipe
from edgecv_cli.compress.training.write_back import with_weights_of
from edgecv_cli.config.evaluate import EvaluateConfig
from edgecv_cli.core.context import Context
from edgecv_cli.graph.inspect import input_specs
from edgecv_cli.graph.io import with_metadata
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.swap_activations import read_swaps, swapped
from edgecv_cli.graph.topology import Topology
from edgecv_cli.media.images import open_images
from edgecv_cli.stages.evaluate import evaluate
from edgecv_cli.stages.qat import parity, plans_for, trained_integers

ROOT = Path(__file__).parents[1]
DATA = ROOT / "calibration_data"
SERIES = 44
SEPARATED = ("heads",)
UNEVEN = 250.0
CONTEXT = Context()


def draw(folder, count):
    sys.path.insert(0, str(DATA))
    from dataset import encode
    from scenes import draw_scene

    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        path = folder / f"{index:04}.jpg"
        if not path.exists():
            path.write_bytes(encode(draw_scene(SERIES, index)))


def separable(model):
    """Return a copy whose chosen 3x3 convolutions are depthwise and pointwise ones."""
    topology, copy, nodes = Topology.of(model), onnx.ModelProto(), []
    copy.CopyFrom(model)
    for node in copy.graph.node:
        name = node.output[0]
        layer = topology.layers.get(name)
        weight = topology.constants.value(layer.weight) if layer else None
        dense = weight is not None and weight.shape[2:] == (3, 3) and not layer.depthwise
        if not dense or not any(part in name for part in SEPARATED):
            nodes.append(node)
            continue
        outputs, inputs = weight.shape[:2]
        deep = np.zeros((inputs, 1, 3, 3), np.float32)
        point = np.zeros((outputs, inputs, 1, 1), np.float32)
        for one in range(inputs):
            left, size, right = np.linalg.svd(weight[:, one].reshape(outputs, 9))
            deep[one, 0] = right[0].reshape(3, 3) * np.sqrt(size[0])
            point[:, one, 0, 0] = left[:, 0] * np.sqrt(size[0])
        for part, value in (("dw", deep), ("pw", point)):
            copy.graph.initializer.append(numpy_helper.from_array(value, f"{name}_{part}"))
        kept = {
            one.name: helper.get_attribute_value(one)
            for one in node.attribute
            if one.name in ("strides", "pads", "dilations")
        }
        middle = f"{name}_mid"
        nodes += [
            helper.make_node("Conv", [node.input[0], f"{name}_dw"], [middle], group=inputs, **kept),
            helper.make_node("Conv", [middle, f"{name}_pw", *node.input[2:]], [name]),
        ]
    nodes = [onnx.NodeProto.FromString(one.SerializeToString()) for one in nodes]
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    read = {name for node in nodes for name in node.input}
    stored = [one for one in copy.graph.initializer if one.name in read]
    del copy.graph.initializer[:]
    copy.graph.initializer.extend(stored)
    onnx.checker.check_model(copy, full_check=True)
    return copy


def uneven(model, most):
    """Return a copy whose depthwise channels differ in size, and which computes the same."""
    rng = np.random.default_rng(0)
    stored = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    changed = {}
    for name, deep in stored.items():
        if name.endswith("_dw"):
            by = np.exp(rng.uniform(0, np.log(most), len(deep))).astype(np.float32)
            point = f"{name.removesuffix('_dw')}_pw"
            changed[name] = deep * by.reshape(-1, 1, 1, 1)
            changed[point] = stored[point] / by.reshape(1, -1, 1, 1)
    return with_weights_of(model, changed)


class Bench:
    def __init__(self, work, scenes, share, threads, mode):
        self.work, self.share, self.threads, self.mode = work, share, threads, mode
        draw(work / "scenes", scenes)
        self.paths = open_images(work / "scenes", scenes).paths
        self.original = Artifact.open(DATA / "builtin_detector.onnx")
        self.spec = self.original.detector().spec
        self.whole = normalise(self.original.model)
        self.heads = Topology.of(self.whole).heads
        self.pictures = self.fed(tinted=True)

    def fed(self, *, tinted):
        inputs = input_specs(self.whole)
        return Pictures(self.paths, inputs, self.spec, CONTEXT, tinted=tinted)

    def model(self, name):
        return normalise(Artifact.open(self.work / f"{name}.onnx").model)

    def recipe(self, steps, rate, mode=PLAIN):
        steps = max(1, round(steps * self.share))
        return Recipe(
            steps=steps, learning_rate=rate, batch=8, check_every=max(25, steps // 20),
            threads=self.threads, mode=mode,
        )  # fmt: skip

    def save(self, name, model, **facts):
        made = with_metadata(model, {SPEC_KEY: self.spec.dumps()})
        onnx.save(made, self.work / f"{name}.onnx")
        (self.work / f"{name}.json").write_text(json.dumps(facts))
        print(name, facts, flush=True)

    def tune(self, name, teacher, student, *, steps, rate, **facts):
        began = time.perf_counter()
        made = finetune(
            teacher,
            student,
            self.heads,
            self.pictures,
            self.recipe(steps, rate, self.mode),
            context=CONTEXT,
        )
        self.save(
            name, made.model, before=made.before, after=made.after, steps=made.steps,
            ended=made.ended, seconds=time.perf_counter() - began, **facts,
        )  # fmt: skip

    def silu(self):
        student, counts = swapped(self.whole, read_swaps("relu=silu"))
        self.tune("silu", self.whole, student, steps=450, rate=0.003, swapped=counts)

    def relu(self):
        teacher = self.model("silu")
        student, counts = swapped(teacher, read_swaps("silu=relu"))
        self.save("relu-untuned", student, swapped=counts)
        self.tune("relu", teacher, student, steps=450, rate=0.003, swapped=counts)

    def sep(self):
        student = separable(self.model("silu"))
        self.tune("sep", self.whole, student, steps=120, rate=0.005)

    def uneven(self):
        self.save("uneven", uneven(self.model("sep"), UNEVEN))

    def qat(self):
        began = time.perf_counter()
        artifact = Artifact.open(self.work / "uneven.onnx")
        topology = Topology.of(normalise(artifact.model))
        plans = plans_for(
            artifact, topology, spec=self.spec, paths=self.paths, target="cpu", context=CONTEXT
        )
        for name, plan in plans.items():
            self.save(f"uneven-int8-{name}", apply_normalised(topology, plan))
        pictures = self.fed(tinted=False)
        made = trained_integers(
            artifact, topology.model, topology, pictures, self.recipe(100, 0.001),
            spec=self.spec, paths=self.paths, heads=self.heads, context=CONTEXT,
        )  # fmt: skip
        tuned = made.quantized.tuned
        self.save(
            "uneven-qat", made.quantized.model, estimator=made.estimator, untrained=made.untrained,
            before=tuned.before, after=tuned.after, steps=tuned.steps, ended=tuned.ended,
            seconds=time.perf_counter() - began,
        )  # fmt: skip
        path = self.work / "uneven-qat.onnx"
        print("torch to ONNX Runtime", parity(made.quantized, path, pictures, 1), flush=True)

    def table(self):
        files = [DATA / "builtin_detector.onnx", *sorted(self.work.glob("*.onnx"))]
        for path in files:
            result = evaluate(
                EvaluateConfig(model=path, data=DATA / "validation", threads=1), CONTEXT
            )
            print(f"{path.stem:24} mAP50-95 {result.map:.4f}  mAP50 {result.map50:.4f}", flush=True)
        for name, (speedup, low, high, times) in self.speeds(("silu", "relu")).items():
            said = ", ".join(f"{kind} {value * 1e3:.2f} ms" for kind, value in times.items())
            print(f"{name}: int8 {speedup:.3f} x ({low:.3f} to {high:.3f}), {said}", flush=True)

    def speeds(self, names, rounds=200):
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        sessions = {}
        for name in names:
            artifact = Artifact.open(self.work / f"{name}.onnx")
            topology = Topology.of(normalise(artifact.model))
            plan = plans_for(
                artifact, topology, spec=self.spec, paths=self.paths, target="cpu", context=CONTEXT
            )["minmax"]
            forms = {"fp32": artifact.model, "int8": apply_normalised(topology, plan)}
            for kind, model in forms.items():
                data = model.SerializeToString()
                sessions[name, kind] = ort.InferenceSession(data, options)
        value = self.whole.graph.input[0]
        shape = [one.dim_value for one in value.type.tensor_type.shape.dim]
        feeds = {value.name: np.random.default_rng(0).random(shape, np.float32)}
        taken = {key: [] for key in sessions}
        for _ in range(rounds):
            for key, session in sessions.items():
                session.run(None, feeds)
                began = time.thread_time()
                session.run(None, feeds)
                taken[key].append(time.thread_time() - began)
        found = {}
        rng = np.random.default_rng(0)
        for name in names:
            times = {kind: np.asarray(taken[name, kind]) for kind in ("fp32", "int8")}
            ratio = times["fp32"] / times["int8"]
            drawn = [np.median(rng.choice(ratio, len(ratio))) for _ in range(1000)]
            low, high = np.quantile(drawn, [0.025, 0.975])
            medians = {kind: float(np.median(one)) for kind, one in times.items()}
            found[name] = float(np.median(ratio)), low, high, medians
        return found


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = ("silu", "relu", "sep", "uneven", "qat", "table")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=800)
    parser.add_argument("--share", type=float, default=1.0, help="of the updates, for a trial")
    parser.add_argument("--only", action="append", choices=parts)
    parser.add_argument("--amp", action="store_true", help="bfloat16 in what is trained in float")
    options = parser.parse_args()
    bench = Bench(options.work, options.scenes, options.share, 1, Mode(half=options.amp))
    for part in options.only or parts:
        getattr(bench, part)()


if __name__ == "__main__":
    main()
