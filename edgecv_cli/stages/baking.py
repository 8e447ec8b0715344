"""Put a model's preprocessing into its graph, and show that it is the same detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.lineage import LINEAGE_KEY, SPEC_KEY, Step, dump_lineage
from edgecv_cli.config.baking import BakingConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import GateNotMetError, UsageError
from edgecv_cli.core.store import digest_key
from edgecv_cli.core.version import __version__
from edgecv_cli.detector.feeding import image_of
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.bake_input import Baked, Layout, Preparation, baked
from edgecv_cli.graph.io import serialize, with_metadata
from edgecv_cli.measure.agreement import AgreementResult, agreement
from edgecv_cli.measure.parity import Parity, parity, pictures_for
from edgecv_cli.measure.self_map import look
from edgecv_cli.runtime.opening import open_runner
from edgecv_cli.stages.baking_result import BakedInput

_ENGINE = "onnxruntime"
DEFAULT_LAYOUT: Layout = "nhwc"
"""What costs least from frame to outputs: benchmarks/bake_preprocess.py."""
_IMAGES = 16
_FLOAT_DB, _COARSE_DB = 60.0, 10.0  # float16 and integers round anew
_AGREEMENT = 0.99
_REMEDY = "leave --bake-preprocess out"


@dataclass(frozen=True)
class Baking:
    """A model that takes bytes.

    Attributes:
        artifact: in a folder of the run; its metadata holds the spec.
        spec: how it is fed and read.
        said: what was found out about it.
    """

    artifact: Artifact
    spec: DetectorSpec
    said: BakedInput


def bake(
    config: BakingConfig,
    given: Artifact,
    spec: DetectorSpec,
    paths: Sequence[Path],
    *,
    folder: Path,
    context: Context,
) -> Baking:
    """Write a form of a model that takes bytes, and compare it with the model.

    Args:
        config: the layout that was asked for.
        given: the model.
        spec: how it is fed and read.
        paths: images to compare detections on; the first few are taken. Without any, raw outputs
            are compared on drawn pictures.
        folder: for the result; it has to last as long as what is returned.
        context: progress, cancellation and seed.

    Raises:
        UsageError: the model takes bytes already.
        ModelError: its input can't be one of bytes.
        GateNotMetError: the result does not find the same.
    """
    if spec.input.dtype == "uint8":
        raise UsageError(
            f"'{given.path}' takes bytes already: its preprocessing is inside", remedy=_REMEDY
        )
    made, after = taking_bytes(config, given, spec)
    path = folder / "baked.onnx"
    lineage = dump_lineage([*given.lineage, bake_step(config, given, spec)])
    entries = {SPEC_KEY: after.dumps(), LINEAGE_KEY: lineage}
    path.write_bytes(serialize(with_metadata(made.model, entries)))
    result = Artifact.open(path)
    sides = ((given, spec), (result, after))
    agreed = _agreed(sides, paths[:_IMAGES], config.threads, context)
    said = BakedInput(
        layout=made.layout,
        left=made.left,
        why=made.why,
        parity=_parity(sides, paths, config.threads, context),
        agreement=agreed.agreement if agreed else None,
        images=agreed.images if agreed else None,
    )
    _require_same(said, coarse=given.facts(spec.input.size).precision != "fp32")
    return Baking(result, after, said)


def taking_bytes(
    config: BakingConfig, given: Artifact, spec: DetectorSpec
) -> tuple[Baked, DetectorSpec]:
    """Rewrite the graph; returns it with the spec that it is fed by from now on.

    Raises:
        ModelError: its input can't be one of bytes.
    """
    fed = spec.input
    name = image_of(given.facts(fed.size).inputs, fed).name
    how = Preparation(fed.color == "rgb", fed.scale, fed.mean, fed.std)
    made = baked(given.model, name, how, config.bake_layout or DEFAULT_LAYOUT)
    plain = {
        "name": name,
        "color": "bgr",
        "scale": 1.0,
        "mean": (0.0, 0.0, 0.0),
        "std": (1.0, 1.0, 1.0),
        "dtype": "uint8",
        "layout": made.layout,
    }
    return made, spec.replace(input=fed.model_copy(update=plain))


def bake_step(config: BakingConfig, given: Artifact, spec: DetectorSpec) -> Step:
    """Return the step of a lineage."""
    fed = spec.input
    return Step(
        stage="bake-preprocess",
        config=digest_key(
            layout=config.bake_layout or DEFAULT_LAYOUT,
            color=fed.color,
            scale=fed.scale,
            mean=list(fed.mean),
            std=list(fed.std),
        ),
        parents=(given.content_digest,),
        versions={"edgecv": __version__},
    )


_Side = tuple[Artifact, DetectorSpec]


def _parity(
    sides: tuple[_Side, _Side], paths: Sequence[Path], threads: int | None, context: Context
) -> Parity:
    (given, spec), (result, after) = sides
    pictures, source = pictures_for(paths, spec, context.seed)
    reference = open_runner(given, _ENGINE, threads, exact=True)
    try:
        candidate = open_runner(result, _ENGINE, threads, exact=True)
        try:
            return parity(
                reference, candidate, spec, pictures, context, source=source, candidate_spec=after
            )
        finally:
            candidate.close()
    finally:
        reference.close()


def _agreed(
    sides: tuple[_Side, _Side], paths: Sequence[Path], threads: int | None, context: Context
) -> AgreementResult | None:
    if not paths:
        return None
    first, second = (
        look(
            artifact,
            spec,
            paths,
            context,
            engine=_ENGINE,
            threads=threads,
            name=name,
            exact=True,
        ).plain
        for (artifact, spec), name in zip(sides, ("as it is", "baked"), strict=True)
    )
    return agreement(first, second, sides[0][1].score_threshold)


def _require_same(said: BakedInput, *, coarse: bool) -> None:
    """Refuse a model that finds something else.

    Raises:
        GateNotMetError: it does.
    """
    least = _COARSE_DB if coarse else _FLOAT_DB
    snr, problem = said.parity.snr_db, said.parity.problem
    if problem is None and snr is not None and snr < least:
        problem = f"outputs are {snr:.0f} dB apart, and {least:.0f} dB are asked for"
    if problem is None and said.agreement is not None and said.agreement < _AGREEMENT:
        problem = (
            f"agreement {said.agreement:.3f} on {said.images} images, and {_AGREEMENT} is asked for"
        )
    if problem is not None:
        raise GateNotMetError(
            f"with its preprocessing inside the model is not the same: {problem}",
            remedy=_REMEDY,
            result=None,
        )
