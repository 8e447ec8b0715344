"""Damage per group: what each group of layers costs in integers, without labels.

Two questions can be asked of a group. *Alone*: what is lost if only this group runs in integers?
*Without*: what is lost if all but this group do? Damage does not add up, and where one group does
most of it the second question drowns every other group in that one's noise: on yolox_nano, whose
stem takes two thirds of the loss, giving back the four worst groups by the first question left a
loss of 0.157 of 0.542, by the second 0.189 (eight: 0.142 and 0.180; on other images than they
were chosen on). The first is therefore asked unless both are; it is also quicker.

Integers are run as the plan's file has them. What was looked at is kept in the context's store,
group by group, so that a run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.compress.quantization.apply import apply_normalised
from edgecv_cli.compress.quantization.grids import tensors_of
from edgecv_cli.compress.quantization.groups import Group, groups_of
from edgecv_cli.compress.quantization.placement import Glue
from edgecv_cli.compress.quantization.plan import QuantizePlan
from edgecv_cli.compress.quantization.recipe import spread
from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.context import Context
from edgecv_cli.core.result import Part
from edgecv_cli.core.store import digest_key
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.io import serialize
from edgecv_cli.graph.topology import Topology
from edgecv_cli.inference.predictor import open_predictor
from edgecv_cli.measure.detection_loss import THRESHOLD, detection_loss, loss_profile
from edgecv_cli.measure.hardware import engine_versions, fingerprint
from edgecv_cli.measure.self_map import predict_profiles
from edgecv_cli.media.images import digest_files

Direction = Literal["without", "alone"]

# Inference that may be spent: 2 to 3 minutes on two cores of a laptop of 2020.
_BUDGET_MACS = 1.6e12
_FEWEST, _MOST = 4, 24
_ALONE: tuple[Direction, ...] = ("alone",)


class GroupDamage(Part):
    """What one group costs."""

    group: str = Field(description="Its first layer, by output tensor.")
    layers: tuple[str, ...] = Field(description="By output tensor, in graph order.")
    kind: str = Field(description="What ties them.")
    macs_share: float = Field(description="Of the multiply-accumulates of all layers, 0..1.")
    precision: str = Field(description="What the loss was measured in.")
    damage: float = Field(
        description="Loss with this group alone, or, where only that was measured, the part of "
        "the whole loss that is regained if this one is float (negative: it does good)."
    )
    without: float | None = Field(default=None, description="Loss with all groups but this one.")
    alone: float | None = Field(default=None, description="Loss with this group alone.")


class Sensitivity(Part):
    """Damage of every group, the most damaging first.

    A loss is 0 where every detection of the float model is found as it was, and 1 where nothing
    is left in common.
    """

    rows: tuple[GroupDamage, ...]
    loss: float = Field(description="With all groups in integers. All in fp32 it is 0.")
    images: int
    threshold: float = Field(description="Score from which a detection has weight.")
    engine: str
    exact: bool = Field(description="Run without integer kernels, as the file is written.")

    def ordered(self) -> tuple[tuple[str, ...], ...]:
        """Return the layers of each group that does damage, the most damaging first."""
        return tuple(row.layers for row in self.rows if row.damage > 0)


class Probe:
    """Measures parts of a plan against the original.

    Args:
        topology: the normalised float graph that the plan is for.
        plan: what is taken apart.
        original: the float model.
        spec: how its outputs are read.
        paths: images; as many of them as the time allows are used.
        glue: as the plan's target has it.
        folder: for files in passing.
        engine, threads, exact: what runs it, and whether without integer kernels.
        context: progress, cancellation, store.
    """

    def __init__(
        self,
        topology: Topology,
        plan: QuantizePlan,
        original: Artifact,
        spec: DetectorSpec,
        paths: Sequence[Path],
        *,
        glue: Glue,
        folder: Path,
        engine: str = "onnxruntime",
        threads: int | None = None,
        exact: bool = True,
        context: Context,
    ) -> None:
        self._topology = topology
        self._plan = plan
        self._original = original
        self._spec = spec
        self._glue: Glue = glue
        self._folder = folder
        self._engine = engine
        self._threads = threads
        self._exact = exact
        self._context = context
        self.groups = groups_of(topology, plan.nodes)
        self._paths = spread(paths, images_for(topology, len(self.groups)))
        self._images = digest_files(self._paths)
        self._wanted: list[Detections] | None = None

    def run(self, directions: Collection[Direction] = _ALONE) -> Sensitivity:
        """Return the damage of every group.

        Raises:
            DataError: an image can't be decoded.
            EngineError: the engine can't run the model.
            InterruptedByUser: the run was cancelled.
        """
        every = set(self._plan.nodes)
        total = sum(layer.macs for layer in self._topology.layers.values()) or 1
        steps = 1 + len(self.groups) * len(set(directions))
        rows = []
        with self._context.progress.task("sensitivity", steps, "group") as task:
            loss = self.loss(every)
            task.advance()
            for group in self.groups:
                without = alone = None
                if "without" in directions:
                    without = self.loss(every - set(group.nodes))
                    task.advance()
                if "alone" in directions:
                    alone = self.loss(set(group.nodes))
                    task.advance()
                rows.append(self._row(group, total, loss, without, alone))
                worst = max(rows, key=lambda row: row.damage)
                task.describe(f"worst so far: {worst.group} ({worst.damage:.3f} of {loss:.3f})")
        return Sensitivity(
            rows=tuple(sorted(rows, key=lambda row: -row.damage)),
            loss=loss,
            images=len(self._paths),
            threshold=THRESHOLD,
            engine=self._engine,
            exact=self._exact,
        )

    def loss(self, nodes: Collection[str]) -> float:
        """Return the loss with only these of the plan's nodes in integers."""
        if not any(name in self._topology.layers for name in nodes):
            return 0.0
        part = restricted(self._topology, self._plan, nodes, self._glue)
        key = self._key(part)
        kept = self._context.store.get(key)
        if kept is not None and len(kept) == struct.calcsize("<d"):
            return float(struct.unpack("<d", kept)[0])
        if self._wanted is None:
            self._wanted = self._read(self._original.path)
        path = self._folder / "part.onnx"
        path.write_bytes(serialize(apply_normalised(self._topology, part)))
        value = detection_loss(self._wanted, self._read(path))
        self._context.store.put(key, struct.pack("<d", value))
        return value

    def _read(self, path: Path) -> list[Detections]:
        predictor = open_predictor(
            Artifact.open(path),
            self._spec,
            engine=self._engine,
            threads=self._threads,
            exact=self._exact,
        )
        # The task that is shown counts groups.
        quiet = Context(cancel=self._context.cancel)
        try:
            profiles = (loss_profile(self._spec),)
            return predict_profiles(predictor, self._paths, profiles, quiet, name="")[0]
        finally:
            predictor.close()

    def _key(self, part: QuantizePlan) -> str:
        return digest_key(
            kind="edgecv.sensitivity/1",
            plan=hashlib.sha256(part.dumps().encode()).hexdigest(),
            original=self._original.content_digest,
            images=self._images,
            spec=json.loads(self._spec.model_dump_json()),
            engine=self._engine,
            exact=self._exact,
            versions=engine_versions(),
            machine=fingerprint(),
        )

    def _row(
        self, group: Group, total: int, loss: float, without: float | None, alone: float | None
    ) -> GroupDamage:
        regained = None if without is None else loss - without
        damage = regained if alone is None else alone
        return GroupDamage(
            group=group.name,
            layers=group.layers,
            kind=group.reason,
            macs_share=group.macs / total,
            precision=self._plan.precision,
            damage=damage or 0.0,
            without=without,
            alone=alone,
        )


def images_for(topology: Topology, groups: int) -> int:
    """Return how many images the time allows; it depends on the graph alone, not on a clock."""
    macs = sum(layer.macs for layer in topology.layers.values()) * max(groups, 1)
    return int(min(max(_BUDGET_MACS // max(macs, 1), _FEWEST), _MOST))


def restricted(
    topology: Topology, plan: QuantizePlan, nodes: Collection[str], glue: Glue
) -> QuantizePlan:
    """Return a plan with only some of its nodes in integers, everything else as it was decided.

    Args:
        topology: the normalised graph.
        plan: the whole.
        nodes: first outputs of those that stay in integers.
        glue: as the plan's target has it.
    """
    chosen = set(nodes) & set(plan.nodes)
    kept = tuple(name for name in plan.nodes if name in chosen)
    tensors = set(tensors_of(topology, kept, glue))
    dropped = tuple(
        name
        for name in plan.dropped
        if name in chosen and topology.producer.get(topology.nodes[name].input[0]) in chosen
    )
    return plan.model_copy(
        update={
            "nodes": kept,
            "dropped": dropped,
            "grids": {name: grid for name, grid in plan.grids.items() if name in tensors},
            "layers": {name: layer for name, layer in plan.layers.items() if name in chosen},
            "reasons": {},
        }
    )
