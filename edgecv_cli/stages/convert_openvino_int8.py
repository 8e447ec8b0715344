"""int8 of a float model on the way to an IR: edgecv's, NNCF's, or what measures better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.config.convert_openvino import ConvertOpenVinoConfig, Quantizer
from edgecv_cli.config.quantize import QuantizeConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import (
    ChildFailureError,
    EdgeCVError,
    EngineError,
    GateNotMetError,
    MissingDependencyError,
    ModelError,
)
from edgecv_cli.measure.lane import BenchRow
from edgecv_cli.measure.latency import benchmark
from edgecv_cli.media.images import open_images
from edgecv_cli.runtime.openvino_convert import write_ir
from edgecv_cli.stages.convert_openvino_choice import Contender, Speed, choose
from edgecv_cli.stages.convert_openvino_job import Judged, Source, judged, shapes_of
from edgecv_cli.stages.convert_openvino_nncf import (
    has_nncf,
    nncf_step,
    quantize_with_nncf,
    require_nncf,
)
from edgecv_cli.stages.convert_openvino_report import unmade_result
from edgecv_cli.stages.converting.int8_form import make_int8
from edgecv_cli.stages.converting.result import ConvertOpenVinoResult, TriedInt8
from edgecv_cli.stages.quantize_result import QuantizeResult

_NAMES: dict[Quantizer, str] = {"edgecv": "edgecv", "nncf": "NNCF"}
_LAUNCHES = 3
_ACCURACY = frozenset({"min_agreement", "max_drop", "min_snr"})
# What one way to int8 may die of while the other goes on; an NNCF that is installed may not load.
_UNMADE = (GateNotMetError, ChildFailureError, EngineError, ModelError, MissingDependencyError)


@dataclass(frozen=True)
class Attempt:
    """An int8 form as it stood up, or what refused to make it."""

    quantizer: Quantizer
    made: Judged | None
    failure: EdgeCVError | None = None

    @property
    def usable(self) -> bool:
        """Whether it met every gate."""
        return self.made is not None and not self.made.refused


def best_int8(
    config: ConvertOpenVinoConfig, source: Source, folder: Path, context: Context
) -> Judged:
    """Make the int8 forms that were asked for, convert and verify each, and return one.

    Args:
        config: ``calibration`` is given.
        source: the float model.
        folder: for what is made on the way.
        context: progress, cancellation and seed.

    Raises:
        GateNotMetError: edgecv's int8 form was refused, and there is no other.
        MissingDependencyError: NNCF is asked for and is not installed.
        EdgeCVError: an image or the model can't be used, or NNCF failed and was asked for.
    """
    asked = quantizers(config)
    if len(asked) == 1:
        made = _made(asked[0], config, source, folder, context)
        return _alone(made, config)
    tried = [_attempt(name, config, source, folder, context) for name in asked]
    usable = [one for one in tried if one.usable]
    if len(usable) < 2:
        kept = usable[0] if usable else _least_bad(tried)
        why = f"{_NAMES[kept.quantizer]}'s int8 is the one that met the gates" if usable else ""
        return _with(kept, tried, why)
    place, why = _chosen(usable[0], usable[1], config, source, context)
    return _with(usable[place], tried, why)


def quantizers(config: ConvertOpenVinoConfig) -> tuple[Quantizer, ...]:
    """Return what makes an int8 form.

    Raises:
        MissingDependencyError: NNCF is asked for and is not installed.
    """
    if config.quantizer == "nncf":
        require_nncf()
        return ("nncf",)
    if config.quantizer == "edgecv" or not has_nncf():
        return ("edgecv",)
    return ("edgecv", "nncf")


def _alone(made: Judged, config: ConvertOpenVinoConfig) -> Judged:
    if config.quantizer != "auto":
        return made
    text = "int8 by edgecv alone: NNCF, which would be tried as well, is not installed"
    return replace(
        made, result=made.result.model_copy(update={"notes": (*made.result.notes, text)})
    )


def _attempt(
    name: Quantizer, config: ConvertOpenVinoConfig, source: Source, folder: Path, context: Context
) -> Attempt:
    try:
        return Attempt(name, _made(name, config, source, folder, context))
    except _UNMADE as error:
        context.progress.note(f"no int8 form by {_NAMES[name]}: {error.problem}")
        return Attempt(name, None, error)


def _made(
    name: Quantizer, config: ConvertOpenVinoConfig, source: Source, folder: Path, context: Context
) -> Judged:
    if name == "nncf":
        return _judged_nncf(config, source, folder, context)
    return judged(config, _by_edgecv(config, source, folder, context), folder, context)


def _judged_nncf(
    config: ConvertOpenVinoConfig, source: Source, folder: Path, context: Context
) -> Judged:
    """Judge NNCF's form; where it is not accurate enough, one whose first layer stays float.

    That layer takes the image, whose few channels one grid serves worst, and costs little speed.
    """
    made = judged(config, _by_nncf(config, source, folder, context), folder, context)
    if not _ACCURACY.intersection(made.refused):
        return made
    apart = folder / "first-in-float"
    apart.mkdir()
    milder = _by_nncf(config, source, apart, context, first_in_float=True)
    said = "; ".join(f"{name} {made.result.gates[name]}" for name in made.refused)
    note = f"NNCF's first layer is left in float: with it in integers, {said}"
    other = judged(config, replace(milder, notes=(*milder.notes, note)), apart, context)
    return made if other.refused else other


def _by_edgecv(
    config: ConvertOpenVinoConfig, source: Source, folder: Path, context: Context
) -> Source:
    path = folder / "int8.onnx"
    seconds = config.speed_seconds or QuantizeConfig.model_fields["speed_seconds"].default
    try:
        made = make_int8(
            config,
            path,
            context,
            given=source.given,
            target="openvino",
            images=config.calibration_images,
            max_drop=config.drop_gate,
            speed_seconds=seconds,
        )
    except GateNotMetError as error:
        if isinstance(error.result, QuantizeResult):
            error.result = unmade_result(config, source.spec, error.result)
        raise
    artifact = Artifact.open(path)
    skipped = made.calibration.skipped if made.calibration else ()
    return replace(
        source,
        artifact=artifact,
        stored_spec=artifact.detector().spec,
        images=source.images or _calibrated_on(config, skipped),
        history=tuple(artifact.lineage),
        quantizer="edgecv",
        quantized=made,
    )


def _by_nncf(
    config: ConvertOpenVinoConfig,
    source: Source,
    folder: Path,
    context: Context,
    *,
    first_in_float: bool = False,
) -> Source:
    assert config.calibration is not None
    plain = folder / "float.xml"
    shapes = shapes_of(config, source)
    # Unfolded, as it is read from the ONNX file: folding changes which layers NNCF quantizes.
    write_ir(source.given.path, plain, half=False, fold=False, shapes=shapes, entries={})
    images = open_images(config.calibration, config.calibration_images).paths
    made = quantize_with_nncf(
        plain, folder / "nncf.xml", source.spec, images, context, first_in_float=first_in_float
    )
    skipped = tuple(f"warning: skipped {text}" for text in made.skipped)
    step = nncf_step(
        source.given.content_digest, images, made.version, first_in_float=first_in_float
    )
    return replace(
        source,
        artifact=Artifact.open(made.path),
        images=source.images or _calibrated_on(config, made.skipped),
        history=(*source.history, step),
        notes=(*source.notes, *skipped),
        quantizer="nncf",
    )


def _calibrated_on(config: ConvertOpenVinoConfig, skipped: Sequence[str]) -> Sequence[Path]:
    """Return the images that were calibrated on; ``skipped``: names, with or without a reason."""
    assert config.calibration is not None
    gone = {text.partition(": ")[0] for text in skipped}
    paths = open_images(config.calibration, config.calibration_images).paths
    return [path for path in paths if gone.isdisjoint((path.name, str(path)))]


def _chosen(
    first: Attempt, second: Attempt, config: ConvertOpenVinoConfig, source: Source, context: Context
) -> tuple[int, str]:
    contenders = [_contender(one) for one in (first, second)]
    speed = _speed((first, second), config, source, context) if config.speed_seconds else None
    return choose(contenders[0], contenders[1], speed, config.prefer)


def _contender(one: Attempt) -> Contender:
    assert one.made is not None
    result = one.made.result
    side, name = result.converted, _NAMES[one.quantizer]
    if side is not None and side.map is not None:
        return Contender(name, "mAP", side.map)
    return Contender(name, "agreement", result.agreement)


def _speed(
    both: Sequence[Attempt], config: ConvertOpenVinoConfig, source: Source, context: Context
) -> Speed | None:
    """Time the two in turns, each in a process of its own."""
    rows = [
        BenchRow(one.made.path.absolute(), config.run_as, config.threads, source.spec)
        for one in both
        if one.made is not None
    ]
    try:
        timed = benchmark(
            rows, duration_s=config.speed_seconds / 2, launches=_LAUNCHES, context=context
        )
    except EngineError as error:
        context.progress.note(f"the two int8 forms were not timed: {error.problem}")
        return None
    if not timed.ratios:
        return None
    found = timed.ratios[0]
    return Speed(found.ratio, found.low, found.high)


def _least_bad(tried: Sequence[Attempt]) -> Attempt:
    """Return the form that was made and refused, which ``--keep-rejected`` can keep."""
    for one in tried:
        if one.made is not None:
            return one
    failures = [one.failure for one in tried if one.failure is not None]
    raise failures[0]


def _with(kept: Attempt, tried: Sequence[Attempt], why: str) -> Judged:
    """Say in the result what else was made, and why this one is kept."""
    made = kept.made
    assert made is not None
    notes = (*made.result.notes, why) if why else made.result.notes
    forms = tuple(_tried(one) for one in tried)
    return replace(made, result=made.result.model_copy(update={"tried": forms, "notes": notes}))


def _tried(one: Attempt) -> TriedInt8:
    if one.made is None:
        problem = one.failure.problem if one.failure else None
        return TriedInt8(quantizer=one.quantizer, refused=problem)
    result: ConvertOpenVinoResult = one.made.result
    side = result.converted
    said = "; ".join(f"{name} {result.gates[name]}" for name in one.made.refused)
    return TriedInt8(
        quantizer=one.quantizer,
        map=side.map if side else None,
        agreement=result.agreement,
        speedup=result.speedup,
        size_bytes=side.size_bytes if side else None,
        refused=said or None,
    )
