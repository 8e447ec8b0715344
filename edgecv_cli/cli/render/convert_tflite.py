"""What convert-tflite shows: the conversion, and how far a Coral Edge TPU gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.render.convert import render as render_conversion
from edgecv_cli.cli.render.tables import facts, line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from edgecv_cli.stages.convert_tflite_result import ConvertTfliteResult, Coral


def render(result: ConvertTfliteResult) -> Iterator[RenderableType]:
    """Yield what every conversion shows, then layout, decoding and the Edge TPU."""
    yield from render_conversion(result)
    if result.decode == "outside":
        heads = len(result.outputs)
        word = "head" if heads == 1 else "heads"
        yield line(f"decoding: outside of the graph, from {heads} raw {word} (decode.onnx in it)")
    moved = sum(tuple(sorted(one.order)) != one.order for one in (*result.inputs, *result.outputs))
    if moved:
        yield line(f"layout: {moved} tensors have their axes in another order; edgecv undoes it")
    if result.coral is not None:
        yield from _coral(result.coral)


def _coral(coral: Coral) -> Iterator[RenderableType]:
    said = "all of it" if coral.fits else f"{coral.mapped} of {coral.operators} operators"
    rows: list[tuple[str, str | None]] = [
        ("Edge TPU", f"{said}, as far as the published list says"),
        ("full int8", "yes" if coral.full_int8 else "no"),
        ("static shapes", "yes" if coral.static_shapes else "no"),
    ]
    rows += [
        (f"on the CPU from {one.first}", f"{one.count} x {one.operator}: {one.reason}")
        for one in coral.unsupported
    ]
    if coral.compiled is not None:
        rows.append(("compiled", coral.compiled.path or "not saved"))
    rows.append(("compiler", coral.compiler))
    yield facts(rows)
