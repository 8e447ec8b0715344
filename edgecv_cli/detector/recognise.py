"""Work out how a detector is fed and read: once, from the strongest source there is.

What the user says comes first, then metadata (edgecv's own spec, then what Ultralytics'
exporter leaves), then what the graph does. A graph is read by probing its decode tail, never by
the names in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgecv_cli.core.errors import ConfigError, ModelError, UnrecognisedError
from edgecv_cli.detector.classes import BACKGROUND
from edgecv_cli.detector.contradictions import doubts, require_fitting
from edgecv_cli.detector.feeding import fed_as
from edgecv_cli.detector.heads import HEADS, Head, Reading
from edgecv_cli.detector.heads.offers import offer
from edgecv_cli.detector.heads.relatives import TASKS, refuse, refuse_classifier
from edgecv_cli.detector.heads.views import image_tensor, require_fed
from edgecv_cli.detector.metadata import ExportNotes, export_notes, stored_spec
from edgecv_cli.detector.overrides import apply_overrides, load_spec_overrides, overridden
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.facts import GraphFacts

__all__ = ["Recognised", "load_spec_overrides", "recognise"]

_SELECTING = ("NonMaxSuppression", "EfficientNMS_TRT", "BatchedNMSDynamic_TRT", "TopK")
_BACKGROUNDS = {BACKGROUND, "__background__", "bg"}
# spec keys whose being told settles an assumption of another name
_SETTLES = {
    "input.color": "color",
    "input.scale": "scale",
    "input.mean": "scale",
    "input.std": "scale",
    "input.resize": "resize",
    "input.pad": "resize",
}


@dataclass(frozen=True)
class Recognised:
    """A detector's spec and how it was worked out.

    Attributes:
        spec: complete.
        evidence: what was seen or told, in sentences.
        assumed: what nothing shows and was taken from the family's reference implementation.
        confidence: 0..1.
        doubts: what the graph's answers have against what the user said; it was followed.
    """

    spec: DetectorSpec
    evidence: tuple[str, ...]
    assumed: tuple[str, ...]
    confidence: float
    doubts: tuple[str, ...] = ()


def recognise(
    facts: GraphFacts,
    *,
    override: Mapping[str, Any] | None = None,
    heads: Sequence[Head] = HEADS,
) -> Recognised:
    """Work out a detector's spec.

    Args:
        facts: what the graph says of itself.
        override: spec keys that the user sets, as :func:`load_spec_overrides` returns them.
        heads: the families that may claim the graph.

    Raises:
        UnrecognisedError: the layout is unknown or open, the network is no detector of boxes,
            or its input size is open.
        ConfigError: an override makes no sense.
        ModelError: the stored spec is broken or belongs to another graph.
    """
    found = _recognised(facts, dict(override or {}), heads)
    require_fed(facts, found.spec)
    return found


def _recognised(facts: GraphFacts, told: Mapping[str, Any], heads: Sequence[Head]) -> Recognised:
    stored = stored_spec(facts.metadata)
    if stored is not None and told.get("family", stored.family) == stored.family:
        spec = _fitted(stored, facts)
        evidence = ("the spec stored in the model by edgecv (metadata edgecv.spec)",)
        return _told(Reading(spec, 1.0, evidence), told, facts)
    notes = export_notes(facts.metadata)
    if notes.task in TASKS:
        raise refuse(TASKS[notes.task], f"its metadata says task '{notes.task}'")
    image = image_tensor(facts)
    if facts.input_size is None:
        height, width = notes.size or (640, 640)
        raise UnrecognisedError(
            f"the graph takes images of any size ({image}), and decoding needs one",
            remedy=f"give --input-size HxW, such as --input-size {height}x{width}",
        )
    reading = _named(_decide(facts, told, notes, heads), notes)
    for key, words in reading.asks.items():
        if key not in told:
            raise _asked(reading, key, words)
    return _told(reading, told, facts)


def _asked(reading: Reading, key: str, words: str) -> UnrecognisedError:
    """Ask for what no graph shows of a reading that is clear but for that."""
    return UnrecognisedError(
        f"the outputs read as family {reading.spec.family} ({'; '.join(reading.evidence)}), but "
        f"{words}",
        remedy=f"write `{key}: coco80`, coco91 or a list of names, into a file and give it with "
        "--spec FILE.yaml",
    )


def _decide(
    facts: GraphFacts, told: Mapping[str, Any], notes: ExportNotes, heads: Sequence[Head]
) -> Reading:
    """Find the one reading of the graph's outputs."""
    family = told.get("family")
    if family is not None and family not in [head.family for head in heads]:
        known = ", ".join(head.family for head in heads)
        raise ConfigError(
            f"detector family '{family}' can't be decoded yet", remedy=f"known families: {known}"
        )
    found = [reading for head in heads for reading in head.recognise(facts)]
    readings = [reading for reading in found if _agrees(reading, told)]
    if not readings and family is None:
        # one family whatever is told: what else the user says of it is taken at its word
        family = _one(reading.spec.family for reading in found)
    if not readings and family is not None:
        head = next(head for head in heads if head.family == family)
        return _doubted(head.assume(facts, told), found, told)
    if not readings:
        raise _unknown(facts, heads)
    if len(readings) > 1 and notes.names is not None:
        named = [r for r in readings if len(r.spec.classes) == len(notes.names)]
        readings = named or readings
    if len(readings) > 1:
        raise _open(readings)
    return _doubted(readings[0], found, told)


def _doubted(reading: Reading, found: list[Reading], told: Mapping[str, Any]) -> Reading:
    """Say what the probe has against what is told."""
    words, confidence = doubts(reading, found, told)
    evidence = (*reading.evidence, *words)
    return replace(reading, evidence=evidence, confidence=confidence, doubts=words)


def _one(families: Iterable[str]) -> str | None:
    different = set(families)
    return different.pop() if len(different) == 1 else None


def _agrees(reading: Reading, told: Mapping[str, Any]) -> bool:
    return all(_same(told[key], value) for key, value in reading.choice.items() if key in told)


def _same(told: Any, value: Any) -> bool:
    """Whether what is told is a value; of several keys within, those that are told count."""
    if isinstance(told, Mapping) and isinstance(value, Mapping) and "tensors" not in told:
        return all(value.get(key) == entry for key, entry in told.items())
    return bool(told == value)


def _open(readings: Sequence[Reading]) -> UnrecognisedError:
    keys = [
        key
        for key in dict.fromkeys(key for reading in readings for key in reading.choice)
        if len({str(reading.choice.get(key)) for reading in readings}) > 1
    ]
    flags, lines = [], []
    for reading in readings:
        flag = ", ".join(f"{key}: {reading.choice[key]}" for key in keys if key in reading.choice)
        flags.append(f"`{flag}`")
        lines.append(f"{flag} ({len(reading.spec.classes)} classes; {reading.evidence[-1]})")
    return UnrecognisedError(
        f"the outputs can be read in {len(readings)} ways: " + "; or ".join(lines),
        remedy=f"write {' or '.join(flags)} into a file and give it with --spec FILE.yaml",
    )


def _unknown(facts: GraphFacts, heads: Sequence[Head]) -> UnrecognisedError:
    """Refuse a graph that no head reads, in the most telling words there are."""
    refuse_classifier(facts)
    outputs = "; ".join(str(output) for output in facts.outputs[:12])
    families = ", ".join(head.family for head in heads)
    remedy = (
        f"edgecv reads {families}; if it is one of them, write `family: NAME` into a file and give "
        "it with --spec"
    )
    offered = offer(facts)
    if offered is not None:
        remedy = f"if that is right, put `{offered}` into a file and give it with --spec; {remedy}"
    selecting = [kind for kind in _SELECTING if facts.op_counts.get(kind)]
    if selecting:
        return UnrecognisedError(
            f"unknown layout: the graph selects boxes itself ({', '.join(selecting)})"
            f"{_reason(facts)}; outputs: {outputs}",
            remedy="export without NMS inside (for Ultralytics: nms=False), or " + remedy,
        )
    if facts.tail is None and any(None in output.shape[1:] for output in facts.outputs):
        height, width = facts.input_size or (0, 0)
        return UnrecognisedError(
            f"unknown layout: at an input of {height}x{width} sizes in the graph do not fit "
            f"together or depend on the image; outputs: {outputs}",
            remedy="give an --input-size of multiples of 32, or export at a fixed size",
        )
    return UnrecognisedError(f"unknown layout{_reason(facts)}; outputs: {outputs}", remedy=remedy)


def _reason(facts: GraphFacts) -> str:
    return f"; {facts.tail_problem}" if facts.tail is None and facts.tail_problem else ""


def _fitted(spec: DetectorSpec, facts: GraphFacts) -> DetectorSpec:
    """Hold a stored spec against the graph that carries it."""
    named = {tensor.name for tensor in spec.outputs.tensors}
    missing = named - {output.name for output in facts.outputs}
    missing |= {spec.input.name} - {tensor.name for tensor in facts.inputs} - {""}
    if missing:
        raise ModelError(
            f"the detector spec stored in the model names {sorted(map(str, missing))}, which the "
            "graph lacks",
            remedy="name the detector's `family` in a spec file and give it with --spec",
        )
    size = facts.input_size or spec.input.size  # a graph of any size, looked at in another one
    told = spec.replace(input=spec.input.model_copy(update={"size": size}))
    return fed_as(facts.inputs, told)


def _named(reading: Reading, notes: ExportNotes) -> Reading:
    """Take over the class names that the metadata gives, if their number fits."""
    if notes.names is None:
        return reading
    names, spec = notes.names, reading.spec
    if "classes" in reading.asks:
        return _all_named(reading, names)
    count, background = len(spec.classes), spec.background
    if background is not None and len(names) == count - 1:
        names = (*names[:background], BACKGROUND, *names[background:])
    elif background is not None and names[background].lower() not in _BACKGROUNDS:
        background = None
    if len(names) != count:
        words = f"metadata names {len(notes.names)} classes, the outputs have {count}: ignored"
        return Reading(
            spec, reading.confidence, (*reading.evidence, words), reading.assumed, reading.choice
        )
    assumed = {key: words for key, words in reading.assumed.items() if key != "classes"}
    return Reading(
        spec.replace(classes=names, background=background),
        reading.confidence,
        (*reading.evidence, f"metadata names the {len(notes.names)} classes"),
        assumed,
    )


def _all_named(reading: Reading, names: tuple[str, ...]) -> Reading:
    """Take over class names where nothing else says how many there are."""
    background = reading.spec.background
    if background is not None and names[0].lower() not in _BACKGROUNDS:
        names = (BACKGROUND, *names)
    words = f"metadata names {len(names)} classes"
    return replace(
        reading,
        spec=reading.spec.replace(classes=names),
        evidence=(*reading.evidence, words),
        asks={},
    )


def _told(reading: Reading, told: Mapping[str, Any], facts: GraphFacts) -> Recognised:
    """Apply what the user says, hold it against the graph, and say so."""
    keys = [key for key, _ in overridden(told)]
    spec = apply_overrides(reading.spec, told, any_classes="classes" in reading.asks)
    if spec.input.size != reading.spec.input.size:
        height, width = reading.spec.input.size
        raise ConfigError(
            f"detector spec, input.size: the graph runs at {height}x{width}",
            remedy="drop it, or give --input-size HxW if the graph takes any size",
        )
    for key in ("dtype", "layout"):
        found, asked = (getattr(part.input, key) for part in (reading.spec, spec))
        if found != asked:
            raise ConfigError(
                f"detector spec, input.{key}: the graph takes {found}, not {asked}",
                remedy=f"leave input.{key} out of --spec: the graph says it",
            )
    if keys:
        require_fitting(spec, told, facts)
    settled = {_SETTLES.get(key, key) for key in keys}
    evidence = reading.evidence
    if keys:
        evidence = (*evidence, f"as told: {', '.join(keys)}")
    assumed = tuple(words for key, words in reading.assumed.items() if key not in settled)
    return Recognised(spec, evidence, assumed, reading.confidence, reading.doubts)
