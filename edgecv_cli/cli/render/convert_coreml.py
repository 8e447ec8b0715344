"""What convert-coreml shows: the conversion, and what stands in the package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.render.convert import render as render_conversion
from edgecv_cli.cli.render.tables import facts, line, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from edgecv_cli.stages.convert_coreml_result import ConvertCoremlResult, NmsFacts, PackageFacts


def render(result: ConvertCoremlResult) -> Iterator[RenderableType]:
    """Yield what every conversion shows, then the package, or what stopped it."""
    yield from render_conversion(result)
    for one in result.unsupported:
        where = f"node '{one.nodes[0]}'" if one.nodes else "somewhere"
        more = f" and {len(one.nodes) - 1} more" if len(one.nodes) > 1 else ""
        why = f": {one.reason}" if one.reason else ""
        yield warning(f"{one.operator} ({where}{more}){why}; {one.remedy}")
    if result.package is not None:
        yield facts(list(_package(result.package)))
        yield line("on macOS, verify the numbers: " + result.package.verify_with, "dim")


def _package(package: PackageFacts) -> Iterator[tuple[str, str | None]]:
    yield "specification", f"{package.specification} ({package.opset}, {package.target} and later)"
    for port in (*package.inputs, *package.outputs):
        kind = f"picture, {port.color}" if port.color else port.dtype
        sizes = ", ".join("n" if size is None else str(size) for size in port.shape)
        yield port.feature, f"{kind} [{sizes}]"
    if package.nms is not None:
        yield "nms", _nms(package.nms)
    counts = ", ".join(f"{name} {count}" for name, count in package.operators.items())
    yield "operators", f"{sum(package.operators.values())}: {counts}"
    stored = ", ".join(f"{count} in {dtype}" for dtype, count in package.weights.items())
    yield "weights", f"{stored} ({package.weight_bytes / 1e6:.2f} MB)"


def _nms(found: NmsFacts) -> str:
    return (
        f"{found.boxes} boxes, {found.classes} labels, IoU {found.iou:g}, "
        f"confidence {found.confidence:g}"
    )
