"""Make a plan from observations: one placement, one estimator, with or without correction."""

from __future__ import annotations

import numpy as np

from edgecv_cli.compress.quantization.apply import output_axis, store_layer
from edgecv_cli.compress.quantization.grids import implied_clamps, make_grids, planned
from edgecv_cli.compress.quantization.observe import Observations
from edgecv_cli.compress.quantization.placement import Placement, place, stem_layers
from edgecv_cli.compress.quantization.plan import LayerPlan, QuantizePlan
from edgecv_cli.compress.quantization.recipe import Recipe
from edgecv_cli.compress.quantization.targets import TargetRules
from edgecv_cli.compress.quantization.weights import bias_shift
from edgecv_cli.graph.grid import Grid
from edgecv_cli.graph.topology import Layer, Topology


def propose(
    topology: Topology,
    observed: Observations,
    recipe: Recipe,
    rules: TargetRules,
    *,
    source: str,
    input_size: tuple[int, int] | None,
) -> QuantizePlan:
    """Return the plan of one recipe; deterministic in its arguments.

    Args:
        topology: the normalised float graph.
        observed: statistics of at least the tensors that the placement touches.
        recipe: the choice.
        rules: the target's.
        source: content digest of the float model.
        input_size: [height, width] that a dynamic graph was fixed to.
    """
    placement = placement_of(topology, recipe, rules)
    grids = make_grids(
        topology,
        placement.nodes,
        observed,
        estimator=recipe.estimator,
        percentile=recipe.percentile,
        kind=rules.grids,
        glue=rules.glue,
    )
    layers = {}
    for name in placement.nodes:
        layer = topology.layers.get(name)
        if layer is not None:
            layers[name] = _layer_plan(
                topology, layer, grids=grids, observed=observed, recipe=recipe, rules=rules
            )
    return QuantizePlan(
        source=source,
        precision="int8-int16" if rules.activation_bits == 16 else "int8",
        target=rules.name,
        placement=recipe.placement,
        estimator=recipe.estimator,
        bias_correction=recipe.bias_correction,
        input_size=input_size,
        nodes=placement.nodes,
        dropped=implied_clamps(topology, placement.nodes) if rules.glue == "ops" else (),
        bias=rules.bias,
        grids=planned(grids),
        layers=layers,
        reasons=placement.reasons,
    )


def placement_of(topology: Topology, recipe: Recipe, rules: TargetRules) -> Placement:
    """Return the integer nodes of a recipe for a target."""
    stem = stem_layers(topology) if recipe.float_stem else ()
    reasons = {
        "given back: in 8 bits it costs too much accuracy": recipe.floats,
        "reads the picture: float was measured to be faster": stem,
    }
    floats = {name: reason for reason, names in reasons.items() for name in names}
    return place(topology, recipe.placement, glue=rules.glue, floats=floats)


def _layer_plan(
    topology: Topology,
    layer: Layer,
    *,
    grids: dict[str, Grid],
    observed: Observations,
    recipe: Recipe,
    rules: TargetRules,
) -> LayerPlan:
    plan = LayerPlan(bits=8, sums=rules.sums)
    means = observed.channel_means.get(layer.data)
    if not recipe.bias_correction or means is None or layer.op != "Conv":
        return plan
    assert output_axis(topology, layer) == 0
    weight = topology.constants.value(layer.weight)
    assert weight is not None
    stored = store_layer(topology, layer, plan, grids[layer.data].scale)
    groups = max(1, len(means) // weight.shape[1])
    shift = bias_shift(weight.astype(np.float32), stored, means, groups)
    return plan.model_copy(update={"bias_shift": tuple(float(part) for part in shift)})
