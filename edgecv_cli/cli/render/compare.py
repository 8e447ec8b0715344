"""What ``edgecv compare`` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.render.tables import ABSENT, facts, fixed, grid, line, measured_on

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from edgecv_cli.measure.parting import StageParting
    from edgecv_cli.stages.compare_result import CompareResult

_SHOWN_CLASSES = 12


def render(result: CompareResult) -> Iterator[RenderableType]:
    """Yield the agreement, what each stage costs, and where the networks part."""
    yield line(f"A {result.a}   B {result.b}", "bold")
    shift = None if result.score_shift is None else f"{result.score_shift:+.3f} (B less A)"
    yield facts(
        [
            ("agreement", fixed(result.agreement)),
            ("matched", f"{result.matched}; {result.missed} by A alone, {result.extra} by B alone"),
            ("mean IoU", fixed(result.mean_iou)),
            ("score shift", shift),
        ]
    )
    rows = [_stage(stage) for stage in result.stages]
    yield grid(("only this of B", "differs", "agreement"), rows, texts=2)
    yield from _tensors(result)
    yield from _classes(result)
    for name, said in result.gates.items():
        yield line(f"{name}: {said}")
    engines = result.engine
    if result.engine_b != result.engine:
        engines = f"A on {result.engine}, B on {result.engine_b}"
    yield line(
        f"{result.images} images, detections from score {result.threshold:g}; {engines}, "
        f"{result.threads} threads, {result.seconds:.1f} s",
        "dim",
    )
    yield from measured_on(result.machine)
    if result.report is not None:
        yield line(f"report: {result.report}")


def _stage(stage: StageParting) -> tuple[str, ...]:
    if stage.same:
        return stage.stage, "nothing", ABSENT
    return stage.stage, stage.why or "the model file", fixed(stage.agreement)


def _tensors(result: CompareResult) -> Iterator[RenderableType]:
    if result.tensors is None:
        yield line(f"inner tensors: not compared ({result.no_tensors})", "dim")
        return
    apart = [tensor for tensor in result.tensors if not tensor.same]
    yield line(
        f"inner tensors: {len(apart)} of {len(result.tensors)} of one name differ "
        f"({result.tensor_images} images)"
    )
    told = {tensor.tensor: tensor for tensor in result.tensors}
    named = (("first", result.first_difference), ("most lost", result.steepest_loss))
    rows = [
        (what, name, told[name].op, fixed(told[name].snr_db, 1, " dB"))
        for what, name in named
        if name is not None
    ]
    if rows:
        yield grid(("", "tensor", "made by", "SNR"), rows, texts=3)


def _classes(result: CompareResult) -> Iterator[RenderableType]:
    parting = {name: one for name, one in result.per_class.items() if one.missed or one.extra}
    worst = sorted(parting.items(), key=lambda item: -(item[1].missed + item[1].extra))
    rows = [
        (name, fixed(one.agreement), str(one.matched), str(one.missed), str(one.extra))
        for name, one in worst[:_SHOWN_CLASSES]
    ]
    if rows:
        yield grid(("class", "agreement", "matched", "A alone", "B alone"), rows)
    if len(worst) > _SHOWN_CLASSES:
        yield line(f"and {len(worst) - _SHOWN_CLASSES} more classes (all with --json)", "dim")
