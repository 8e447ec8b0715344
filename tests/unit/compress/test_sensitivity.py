"""Damage per group, measured on a planted detector that finds its rectangles."""

from __future__ import annotations

import numpy as np
import pytest
from models import yolox
from scenes import write_dataset

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.compress.quantization.apply import apply_normalised
from edgecv_cli.compress.quantization.evidence import gather, read_topology
from edgecv_cli.compress.quantization.grids import tensors_of
from edgecv_cli.compress.quantization.propose import propose
from edgecv_cli.compress.quantization.recipe import Recipe
from edgecv_cli.compress.quantization.sensitivity import Probe, images_for, restricted
from edgecv_cli.compress.quantization.targets import TargetRules
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import InterruptedByUser
from edgecv_cli.graph.io import serialize
from edgecv_cli.media.images import open_images

RULES = TargetRules("generic", 32, here=False)


class Case:
    def __init__(self, folder):
        model = folder / "planted.onnx"
        model.write_bytes(serialize(yolox(planted=True)))
        write_dataset(folder / "data", images=2)
        self.artifact = Artifact.open(model)
        self.spec = self.artifact.detector().spec
        self.topology = read_topology(self.artifact, None)
        self.paths = open_images(folder / "data" / "images").paths
        evidence = gather(
            self.artifact,
            self.topology,
            self.spec,
            self.paths,
            input_size=None,
            engine="onnxruntime",
            threads=1,
            context=Context(),
        )
        self.plan = propose(
            self.topology,
            evidence.observed,
            Recipe("all", "minmax"),
            RULES,
            source=evidence.source,
            input_size=None,
        )
        self.folder = folder

    def probe(self, plan=None, context=None):
        return Probe(
            self.topology,
            plan or self.plan,
            self.artifact,
            self.spec,
            self.paths,
            glue="ops",
            folder=self.folder,
            threads=1,
            context=context or Context(),
        )


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return Case(tmp_path_factory.mktemp("sensitivity"))


def spoiled(case, layer):
    """The plan with a grid on one layer's output that holds next to nothing of it."""
    grid = case.plan.grids[layer]
    ruined = grid.model_copy(update={"scale": grid.scale / 100})
    return case.plan.model_copy(update={"grids": {**case.plan.grids, layer: ruined}})


def test_every_group_is_measured_and_the_worst_is_first(case):
    measured = case.probe().run(("without", "alone"))
    groups = case.probe().groups
    assert {row.layers for row in measured.rows} == {group.layers for group in groups}
    damages = [row.damage for row in measured.rows]
    assert damages == sorted(damages, reverse=True)
    for row in measured.rows:
        assert row.damage == row.alone
        assert 0 <= row.alone <= 1
        assert 0 <= row.without <= 1
    assert sum(row.macs_share for row in measured.rows) == pytest.approx(1)
    assert measured.images == 2


def test_the_group_that_is_spoiled_is_found(case):
    layer = next(name for name in case.topology.layers if name in case.topology.heads)
    plan = spoiled(case, layer)
    probe = case.probe(plan)
    measured = probe.run()
    assert layer in measured.rows[0].layers
    assert measured.rows[0].damage > 0.1
    assert layer in measured.ordered()[0]


def test_asked_what_is_left_without_a_group_damage_is_what_it_gives_back(case):
    layer = next(name for name in case.topology.layers if name in case.topology.heads)
    measured = case.probe(spoiled(case, layer)).run(("without",))
    assert layer in measured.rows[0].layers
    for row in measured.rows:
        assert row.alone is None
        assert row.damage == measured.loss - row.without


def test_nothing_in_integers_is_no_loss(case):
    assert case.probe().loss(()) == 0


def test_what_was_measured_is_kept_and_nothing_else_is_run_again(case, monkeypatch):
    context = Context()
    first = case.probe(context=context).run()
    opened = []
    monkeypatch.setattr(
        "edgecv_cli.compress.quantization.sensitivity.open_predictor",
        lambda *args, **_: opened.append(args),
    )
    assert case.probe(context=context).run() == first
    assert opened == []


def test_it_can_be_cancelled(case):
    context = Context()
    context.cancel.set()
    with pytest.raises(InterruptedByUser):
        case.probe(context=context).run()


def test_a_restricted_plan_has_what_its_nodes_need_and_no_more(case):
    group = case.probe().groups[0]
    part = restricted(case.topology, case.plan, group.nodes, "ops")
    assert set(part.nodes) == set(group.nodes)
    assert set(part.layers) == set(group.layers)
    assert set(part.grids) == set(tensors_of(case.topology, part.nodes)) & set(case.plan.grids)
    model = apply_normalised(case.topology, part)
    assert serialize(model) == serialize(apply_normalised(case.topology, part))
    stored = [t for t in model.graph.initializer if t.data_type == 3 and np.prod(t.dims) > 1]
    assert stored


def test_a_restricted_plan_of_everything_is_the_plan(case):
    whole = restricted(case.topology, case.plan, case.plan.nodes, "ops")
    assert apply_normalised(case.topology, whole) == apply_normalised(case.topology, case.plan)


def test_more_groups_get_fewer_images(case):
    few, many = images_for(case.topology, 1), images_for(case.topology, 10**9)
    assert few > many >= 1
