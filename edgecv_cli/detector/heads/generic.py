"""Any detector whose outputs the user describes: nothing is recognised, everything is told.

Names of outputs, how boxes are said, strides, anchors and bins come from the spec; the order of
the axes follows from the graph's shapes, and is asked for where they leave it open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, get_args

from pydantic import ValidationError

from edgecv_cli.core.errors import ConfigError, ModelError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.anchors import read_anchors
from edgecv_cli.detector.classes import default_classes
from edgecv_cli.detector.decoding import DenseDecoder
from edgecv_cli.detector.heads.arrange import Wanted, arranged
from edgecv_cli.detector.heads.base import Decoder, Reading, dense_reading
from edgecv_cli.detector.probing import shapes_of
from edgecv_cli.detector.spec import (
    BoxCode,
    DetectorSpec,
    InputSpec,
    OutputSpec,
    OutputTensor,
    Role,
)
from edgecv_cli.graph.facts import GraphFacts

_DENSE: tuple[Role, ...] = ("boxes", "objectness", "scores")
_TOLD = (
    *("boxes", "normalized", "code", "strides", "cell_offset", "anchors", "anchors_first"),
    *("variances", "reg_max", "activations", "powers", "extra_inputs"),
)
_EXAMPLE = (
    "`outputs: {boxes: NAME, scores: NAME}` or `outputs: {all: NAME, layout: [boxes, scores]}`"
)


class Generic:
    """A detector told by its spec alone."""

    family: ClassVar[str] = "generic"
    defaults: ClassVar[DetectorSpec] = DetectorSpec(
        family="generic",
        input=InputSpec(size=(640, 640), color="rgb", scale=255.0, resize="letterbox", pad=114),
        outputs=OutputSpec(),
        classes=("object",),
        boxes="cxcywh",
    )

    def recognise(self, facts: GraphFacts) -> Sequence[Reading]:  # noqa: ARG002
        """Return nothing: this family is never guessed."""
        return ()

    def assume(self, facts: GraphFacts, told: Mapping[str, Any]) -> Reading:
        """Read the outputs as the user describes them.

        Raises:
            ConfigError: the description is not complete, or contradicts a shape.
        """
        known = _described(told, facts)
        outputs = told.get("outputs") or {}
        if "tensors" in outputs:
            tensors = _listed(outputs["tensors"])
            count = _count_of(told) or _scores_in(tensors, known, facts)
        else:
            tensors, count = _arranged(outputs, known, told, facts)
        names, words = default_classes(count)
        shapes = shapes_of(facts)
        seen = "; ".join(
            f"'{tensor.name}' {list(shapes.get(tensor.name, ()))} holds {', '.join(tensor.holds)}, "
            f"axes {tensor.axes}"
            for tensor in tensors
        )
        known = known.replace(classes=names, background=None)
        return dense_reading(
            known,
            facts,
            OutputSpec(tensors=tuple(tensors)),
            source="nothing shows it and the spec does not say it",
            classes=(names, {"classes": words}),
            confidence=0.9,
            evidence=[f"family generic, as told: {seen}"],
        )

    def decoder(self, spec: DetectorSpec, outputs: Sequence[TensorSpec]) -> Decoder:
        """Return a decoder of whatever the spec describes."""
        return DenseDecoder(spec, outputs)


def _described(told: Mapping[str, Any], facts: GraphFacts) -> DetectorSpec:
    """Return what is told of boxes and scores, with what that implies."""
    fields = {key: told[key] for key in _TOLD if key in told}
    fields["code"] = told.get("code") or _implied(told)
    size = facts.input_size or Generic.defaults.input.size
    fields["input"] = {**Generic.defaults.input.model_dump(), "size": size}
    try:
        if "anchors" in told:
            fields["anchors"] = read_anchors(told["anchors"], len(told.get("strides") or ()))
        known = DetectorSpec.model_validate({**Generic.defaults.model_dump(), **fields})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "spec"
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(
            f"detector spec, {key}: {message}", remedy=f"correct `{key}` in --spec"
        ) from error
    except ValueError as error:
        raise ConfigError(
            f"detector spec, anchors: {error}", remedy="correct `anchors` in --spec"
        ) from error
    if known.code != "none" and not known.strides:
        raise ConfigError(
            f"detector spec: boxes with code {known.code} sit on cells, and no strides are told",
            remedy="add `strides: [8, 16, 32]`, input pixels per cell, to --spec",
        )
    return known


def _implied(told: Mapping[str, Any]) -> BoxCode:
    if told.get("boxes") == "ltrb":
        return "distance"
    return "anchor-square" if told.get("anchors") else "none"


def _listed(told: Any) -> list[OutputTensor]:
    try:
        return list(OutputSpec.model_validate({"tensors": told}).tensors)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"detector spec, outputs.{where}: {first['msg']}",
            remedy="write `tensors: [{name: NAME, holds: [boxes, scores], axes: 'b,n,c'}]`",
        ) from error


def _count_of(told: Mapping[str, Any]) -> int | None:
    """Return how many score columns the user's classes and background make, if told."""
    names = told.get("classes")
    if not isinstance(names, list | tuple) or not names:
        return None
    return len(names)


def _scores_in(tensors: Sequence[OutputTensor], known: DetectorSpec, facts: GraphFacts) -> int:
    """Return how many classes make the told tensors fit their shapes."""
    outputs = [TensorSpec(name, shape, "float32") for name, shape in shapes_of(facts).items()]
    spec = known.replace(outputs=OutputSpec(tensors=tuple(tensors)))
    for count in sorted({size for output in outputs for size in output.shape if size}):
        for classes in range(max(1, count - 4 * max(1, known.reg_max) - 1), count + 1):
            names = default_classes(classes)[0]
            try:
                DenseDecoder(spec.replace(classes=names), outputs)
            except ModelError:
                continue
            return classes
    raise ConfigError(
        "detector spec, outputs.tensors: no number of classes makes them fit "
        + "; ".join(str(output) for output in outputs),
        remedy="correct `outputs` in --spec",
    )


def _arranged(
    outputs: Mapping[str, Any],
    known: DetectorSpec,
    told: Mapping[str, Any],
    facts: GraphFacts,
) -> tuple[list[OutputTensor], int]:
    """Return the named outputs with their axes, and how many scores a candidate has."""
    groups: list[tuple[tuple[Role, ...], list[str]]] = []
    if "all" in outputs:
        layout = tuple(outputs.get("layout") or ("boxes", "scores"))
        groups.append((_roles(layout), _names(outputs["all"])))
    groups += [((role,), _names(outputs[role])) for role in _DENSE if role in outputs]
    held = [role for roles, _ in groups for role in roles]
    if not {"boxes", "scores"} <= set(held) or len(set(held)) < len(held):
        have = "; ".join(str(output) for output in facts.outputs)
        raise ConfigError(
            f"detector spec: family generic needs outputs with boxes and scores, each once; the "
            f"model has {have}",
            remedy=f"write {_EXAMPLE} into --spec",
        )
    wanted = Wanted(known, _count_of(told), told.get("background"), shapes_of(facts))
    return arranged(groups, wanted)


def _roles(layout: Sequence[Any]) -> tuple[Role, ...]:
    strange = [role for role in layout if role not in get_args(Role)]
    if strange:
        raise ConfigError(
            f"detector spec, outputs.layout: '{strange[0]}' is nothing that a column holds",
            remedy=f"known: {', '.join(_DENSE)}, skip",
        )
    return tuple(layout)


def _names(told: Any) -> list[str]:
    names = told if isinstance(told, list | tuple) else [told]
    return [str(name) for name in names]
