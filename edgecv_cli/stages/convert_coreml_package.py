"""Read a converted package back, and hold its weights against the original's."""

from __future__ import annotations

from pathlib import Path

from edgecv_cli.config.convert_coreml import ConvertCoremlConfig
from edgecv_cli.graph.coreml_facts import Port, read_presented
from edgecv_cli.graph.coreml_package import Feature, Suppression
from edgecv_cli.graph.coreml_pipeline import CONFIDENCE, IOU, RAW_BOXES, RAW_SCORES
from edgecv_cli.graph.coreml_weights import Weights, nearest, weighted_layers
from edgecv_cli.runtime.coreml_convert import Stop
from edgecv_cli.stages.convert_coreml_job import Made, Source, candidates_of
from edgecv_cli.stages.convert_coreml_result import (
    NmsFacts,
    PackageFacts,
    PackagePort,
    UnsupportedOperator,
)
from edgecv_cli.stages.converting.gates import Outcome

_FLOAT_AWAY = 0.002  # float16 rounds to half of 2**-10 of each weight
_INT8_AWAY = 0.05
_PALETTE_AWAY = {4: 0.35, 6: 0.15, 8: 0.05}
"""|difference| / |weights| of a layer that rounding explains; those of another are near 1.4."""


def package_facts(config: ConvertCoremlConfig, source: Source, made: Made) -> PackageFacts:
    """Return what stands in the package, weights compared.

    Raises:
        ModelError: it can't be read back.
    """
    presented = read_presented(made.path)
    package, interface = presented.package, presented.interface
    weights = Weights(package)
    held = weights.layers()
    found = [nearest(layer, held) for layer in weighted_layers(source.prepared.model)]
    near = [one[1] for one in found if one is not None and one[1] <= _allowed(config)]
    features = {one.spec.name: one for one in (*package.inputs, *package.outputs)}
    return PackageFacts(
        specification=package.specification,
        opset=package.opset,
        target=config.minimum_deployment_target,
        inputs=tuple(_port(one, features[one.feature]) for one in interface.inputs),
        outputs=tuple(_port(one, features[one.feature]) for one in interface.outputs),
        operators=package.counts,
        weights=weights.elements(),
        weight_bytes=0 if package.weights is None else package.weights.stat().st_size,
        constant_bytes=weights.stored_bytes(),
        layers=len(found),
        matched=len(near),
        farthest=max(near, default=None),
        nms=_nms(package.suppression),
        verify_with=f"edgecv compare {Path(config.model).name} {config.output.name} "
        "--engine-b coreml --images DIR",
    )


def weights_held(facts: PackageFacts) -> Outcome:
    """Return whether the package holds the original's weights."""
    away = "" if facts.farthest is None else f", at most {100 * facts.farthest:.2f} % away"
    text = f"every layer's found again: {facts.matched} of {facts.layers}{away}"
    return Outcome("weights", facts.matched == facts.layers, text)


def nms_held(source: Source, made: Made) -> Outcome | None:
    """Return whether detector and NMS in the package are what was asked for; None without one.

    Raises:
        ModelError: the package can't be read back.
    """
    wanted = source.nms
    if wanted is None:
        return None
    found = read_presented(made.path).package.suppression
    boxes = candidates_of(source)
    expected = Suppression(
        iou=wanted.iou,
        confidence=wanted.confidence,
        per_class=True,
        labels=wanted.labels,
        reads=(RAW_SCORES, RAW_BOXES),
        shapes=((boxes, len(wanted.labels)), (boxes, 4)),
        optional=(IOU, CONFIDENCE),
    )
    text = (
        f"{boxes} boxes of {len(wanted.labels)} labels, IoU {wanted.iou:g}, "
        f"confidence {wanted.confidence:g}: "
    )
    return Outcome("nms", found == expected, text + ("as asked" if found == expected else "not so"))


def _nms(found: Suppression | None) -> NmsFacts | None:
    if found is None:
        return None
    return NmsFacts(
        boxes=found.shapes[0][0] or 0,
        classes=len(found.labels),
        iou=found.iou,
        confidence=found.confidence,
        optional=found.optional,
    )


def stopped(stops: tuple[Stop, ...]) -> tuple[UnsupportedOperator, ...]:
    """Return what stops a conversion, each with what to do about it."""
    return tuple(
        UnsupportedOperator(
            operator=one.operator, nodes=one.nodes, reason=one.reason, remedy=_remedy(one)
        )
        for one in stops
    )


def _allowed(config: ConvertCoremlConfig) -> float:
    if config.compression == "palettize":
        return _PALETTE_AWAY[config.palette_bits]
    return _INT8_AWAY if config.compression == "int8" else _FLOAT_AWAY


def _port(port: Port, feature: Feature) -> PackagePort:
    return PackagePort(
        name=port.name,
        feature=port.feature,
        shape=feature.spec.shape,
        dtype=feature.spec.dtype,
        color=feature.color,
    )


def _remedy(stop: Stop) -> str:
    if "NMS" in stop.operator or "NonMaxSuppression" in stop.operator:
        return "export the model without NMS; edgecv does it afterwards, or inside with --nms"
    if stop.reason is not None:
        return "try --minimum-deployment-target iOS18, or export the model with another opset"
    return "export the model without it, or run the .onnx on Apple devices with ONNX Runtime"
