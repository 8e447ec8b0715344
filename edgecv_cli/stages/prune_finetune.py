"""The fine-tuning of prune: what it starts from, how it is kept, and how it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgecv_cli.compress.pruning.flow import Flow
from edgecv_cli.compress.pruning.reconstruct import Fit
from edgecv_cli.compress.training.checkpoint import Checkpoint, load
from edgecv_cli.compress.training.dense import DenseLesson
from edgecv_cli.compress.training.finetune import Altered, Kept, Tuned, finetune, learn
from edgecv_cli.compress.training.located import decoded_program, has_candidates
from edgecv_cli.compress.training.mode import Mode
from edgecv_cli.compress.training.network import require_device
from edgecv_cli.compress.training.pictures import Pictures
from edgecv_cli.compress.training.program import program_of
from edgecv_cli.compress.training.schedule import Recipe
from edgecv_cli.config.prune import PruneConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import DataError, InterruptedByUser
from edgecv_cli.core.store import digest_key
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.inspect import input_specs
from edgecv_cli.graph.io import load_model, serialize
from edgecv_cli.stages.resuming import require_room, resume_line, training_path


@dataclass(frozen=True)
class Begun:
    """A network with its channels taken out and its weights fitted, before any training.

    Attributes:
        model: the smaller network.
        removed: units that left.
        share: multiply-accumulates that stayed, 0..1.
        fits: how well each layer was fitted.
        damage: producers of a group to the loss of detections with it alone cut so.
    """

    model: onnx.ModelProto
    removed: frozenset[int]
    share: float
    fits: tuple[Fit, ...]
    damage: dict[tuple[str, ...], float]


def require_trainable(config: PruneConfig, flow: Flow) -> None:
    """Refuse what fine-tuning can't do before anything takes time.

    Raises:
        ModelError: an operator is not known to training; its node is named.
        MissingDependencyError: torch is not installed.
        OutputExistsError: an earlier training is kept, and neither --resume nor --force is given.
    """
    program_of(flow.topology.model)
    require_device(config.device)
    require_room(_output(config), resume=config.resume, force=config.force)


def tuned(
    config: PruneConfig,
    flow: Flow,
    spec: DetectorSpec,
    paths: Sequence[Path],
    begun: Begun,
    *,
    context: Context,
) -> Tuned:
    """Tune a smaller network towards the whole one: to its candidates, boxes and scores, or to its
    raw predictions where it takes more than a picture.

    Raises:
        InterruptedByUser: its remedy is the command that goes on.
        EdgeCVError: as :func:`edgecv_cli.compress.training.finetune.finetune`.
    """
    whole = flow.topology
    pictures = Pictures(paths, input_specs(whole.model), spec, context)
    heads = whole.heads or tuple(value.name for value in whole.model.graph.output)
    recipe = Recipe(
        steps=config.steps,
        minutes=config.minutes,
        learning_rate=config.learning_rate,
        seed=config.seed,
        threads=config.threads,
        mode=Mode(half=config.amp, device=config.device),
    )
    kept = _kept(config, begun)
    try:
        if not has_candidates(spec):
            return finetune(
                whole.model, begun.model, heads, pictures, recipe, context=context, kept=kept
            )
        return learn(
            begun.model,
            DenseLesson(whole.model, spec, recipe.mode),
            pictures,
            recipe,
            context=context,
            altered=Altered(decoded_program(begun.model, spec), "decoded"),
            kept=kept,
        )
    except InterruptedByUser as error:
        error.remedy = f"go on with: {resume_line('prune', config)}"
        raise


def resumed(config: PruneConfig, folder: Path) -> Begun:
    """Return what a kept training started from.

    Args:
        config: the options.
        folder: for a file in passing.

    Raises:
        DataError: there is none, it is broken, or channels were chosen with other options.
    """
    path = training_path(_output(config))
    held = load(path)
    try:
        notes = held.header["notes"]
        if notes["asked"] == _asked(config):
            return _begun(held, notes, folder)
    except (LookupError, TypeError, ValueError) as error:
        raise DataError(
            f"the checkpoint '{path}' is not whole: {error}",
            remedy="leave --resume out and add --force to begin anew",
        ) from error
    raise DataError(
        f"the training kept in '{path}' was begun with other options or another model",
        remedy="give the command that began it, or leave --resume out and add --force",
    )


def _begun(held: Checkpoint, notes: Any, folder: Path) -> Begun:
    model = folder / "begun.onnx"
    model.write_bytes(held.arrays["student"].astype(np.uint8).tobytes())
    return Begun(
        model=load_model(model),
        removed=frozenset(int(unit) for unit in held.arrays["removed"]),
        share=float(notes["share"]),
        fits=tuple(Fit(**one) for one in notes["fits"]),
        damage={tuple(names): float(value) for names, value in notes["damage"]},
    )


def _kept(config: PruneConfig, begun: Begun) -> Kept:
    arrays: dict[str, NDArray[Any]] = {
        "student": np.frombuffer(serialize(begun.model), np.uint8),
        "removed": np.asarray(sorted(begun.removed), np.int64),
    }
    notes = {
        "asked": _asked(config),
        "share": begun.share,
        "fits": [asdict(one) for one in begun.fits],
        "damage": [[list(names), value] for names, value in begun.damage.items()],
    }
    path = training_path(_output(config))
    return Kept(path, resume=config.resume, also=arrays, notes=notes)


def _asked(config: PruneConfig) -> str:
    return digest_key(
        share=config.target_flops,
        parameters=config.target_parameters,
        speedup=config.target_speedup,
        importance=config.importance,
        cap=config.cap,
        step=config.round_to,
        images=config.images,
        seed=config.seed,
    )


def _output(config: PruneConfig) -> Path:
    assert config.output is not None
    return config.output
