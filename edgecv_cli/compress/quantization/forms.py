"""Plans that need no ranges: stored integers only, grids found at run time, float forms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from edgecv_cli.compress.quantization.placement import place
from edgecv_cli.compress.quantization.plan import LayerPlan, PlanPrecision, QuantizePlan
from edgecv_cli.compress.quantization.targets import TargetRules
from edgecv_cli.core.errors import UsageError
from edgecv_cli.graph.topology import Layer, Topology

_NONE: Mapping[str, str] = {}


def weight_only_plan(
    topology: Topology,
    rules: TargetRules,
    *,
    bits: Literal[4, 8],
    source: str,
    input_size: tuple[int, int] | None,
    floats: Mapping[str, str] = _NONE,
) -> QuantizePlan:
    """Return the plan that stores weights in 8 or 4 bits and computes in float.

    For models whose file size or memory traffic counts, on engines that unpack at load or in
    the kernel; it needs no images.

    Args:
        topology: the normalised float graph.
        rules: the target's.
        bits: of the weights.
        source: content digest of the float model.
        input_size: [height, width] that a dynamic graph was fixed to.
        floats: layers whose weights stay float -> why.

    Raises:
        UsageError: no layer is left.
    """
    placement = place(topology, "all", glue="inputs", floats=floats)
    plan = _plan(
        "int8-weights" if bits == 8 else "int4-weights", rules, source, input_size, "weights"
    )
    stored = LayerPlan(bits=bits)
    return _with_layers(plan, placement.nodes, placement.reasons, stored, integer=False)


def dynamic_plan(
    topology: Topology,
    rules: TargetRules,
    *,
    source: str,
    input_size: tuple[int, int] | None,
    floats: Mapping[str, str] = _NONE,
) -> QuantizePlan:
    """Return the plan whose MatMul and Gemm layers find the grid of their input at run time.

    Args as of ``weight_only_plan``; how the weights are stored is the target's.

    Raises:
        UsageError: the model has no such layer.
    """
    placement = place(topology, "all", glue="inputs", floats=floats)
    reasons = dict(placement.reasons)
    for name in placement.nodes:
        why = _not_dynamic(topology, topology.layers[name])
        if why is not None:
            reasons[name] = why
    nodes = tuple(name for name in placement.nodes if name not in reasons)
    plan = _plan("int8-dynamic", rules, source, input_size, "matrix products")
    stored = LayerPlan(bits=8, sums=rules.sums)
    return _with_layers(plan, nodes, reasons, stored, integer=True)


def float_plan(
    precision: Literal["fp16", "fp32"],
    rules: TargetRules,
    *,
    source: str,
    input_size: tuple[int, int] | None,
    kept_fp32: Iterable[str] = (),
) -> QuantizePlan:
    """Return the plan of the normalised graph itself, or of its float16 form.

    Args:
        precision: which.
        rules: the target's.
        source: content digest of the float model.
        input_size: [height, width] that a dynamic graph was fixed to.
        kept_fp32: nodes that stay float32 (see ``float_forms.beyond_half``).
    """
    plan = _plan(precision, rules, source, input_size, "none")
    return plan.model_copy(update={"kept_fp32": tuple(kept_fp32)})


def _plan(
    precision: PlanPrecision,
    rules: TargetRules,
    source: str,
    input_size: tuple[int, int] | None,
    placement: str,
) -> QuantizePlan:
    return QuantizePlan(
        source=source,
        precision=precision,
        target=rules.name,
        placement=placement,
        estimator="none",
        bias_correction=False,
        input_size=input_size,
        nodes=(),
        grids={},
        layers={},
    )


def _with_layers(
    plan: QuantizePlan,
    names: tuple[str, ...],
    reasons: Mapping[str, str],
    stored: LayerPlan,
    *,
    integer: bool,
) -> QuantizePlan:
    if not names:
        raise UsageError(
            f"no layer of this model fits --precision {plan.precision}",
            remedy="use --precision int8, or fp16",
        )
    update = {
        "nodes": names if integer else (),
        "layers": dict.fromkeys(names, stored),
        "reasons": dict(sorted(reasons.items())),
    }
    return plan.model_copy(update=update)


def _not_dynamic(topology: Topology, layer: Layer) -> str | None:
    """Return why a layer can't find its input's grid at run time, or None."""
    if layer.op == "Conv":
        return "a convolution: only matrix products take grids that are found at run time"
    numbers = {a.name: a.f if a.name in ("alpha", "beta") else a.i
               for a in topology.nodes[layer.name].attribute}  # fmt: skip
    if numbers.get("alpha", 1.0) != 1.0 or numbers.get("beta", 1.0) != 1.0:
        return "its product or bias is scaled"
    return "its input is transposed" if numbers.get("transA", 0) else None
