"""Ways to look at a graph's outputs that the heads share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgecv_cli.core.errors import UnrecognisedError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.grid import head_strides, matching_strides
from edgecv_cli.detector.probing import Channels, channels_of, shapes_of
from edgecv_cli.detector.spec import DetectorSpec, InputSpec
from edgecv_cli.graph.facts import GraphFacts


@dataclass(frozen=True)
class GridView:
    """An output whose candidates number the cells of a grid.

    Attributes:
        output: its name.
        channels_last: whether candidates are rows.
        count: channels; ``candidates``: cells.
        strides: rising, that explain the number of candidates.
        head_strides: stride of every head that is a map.
        channels: what the probe saw, or None without a probe.
    """

    output: str
    channels_last: bool
    count: int
    candidates: int
    strides: tuple[int, ...]
    head_strides: dict[str, int]
    channels: Channels | None

    def shape_evidence(self, size: tuple[int, int]) -> str:
        """Say how the shape was read."""
        shape = (
            f"[1,{self.candidates},{self.count}]"
            if self.channels_last
            else f"[1,{self.count},{self.candidates}]"
        )
        strides = "/".join(str(stride) for stride in self.strides)
        return (
            f"output '{self.output}' {shape}: {self.candidates} candidates are the cells of "
            f"strides {strides} at {size[0]}x{size[1]}"
        )

    def level_order(self) -> tuple[int, ...]:
        """Return the strides in the order in which their heads' cells follow each other."""
        starts = {
            self.head_strides[head]: first
            for head, (first, _) in (self.channels.columns if self.channels else {}).items()
            if head in self.head_strides
        }
        if set(starts) != set(self.strides):
            return self.strides
        return tuple(sorted(self.strides, key=lambda stride: starts[stride]))


def grid_views(facts: GraphFacts) -> Iterator[GridView]:
    """Yield every output, axis order and set of strides that fit each other."""
    if facts.input_size is None:
        return
    maps = head_strides(facts.tail.heads, facts.input_size) if facts.tail else {}
    for name, shape in shapes_of(facts).items():
        if len(shape) != 3:
            continue
        for channels_last in (False, True):
            count, candidates = (shape[2], shape[1]) if channels_last else (shape[1], shape[2])
            if count is None or candidates is None:
                continue
            found = list(maps.values())
            for strides in matching_strides(candidates, facts.input_size, found):
                axes = "b,n,c" if channels_last else "b,c,n"
                seen = channels_of(facts.tail, name, axes) if facts.tail else None
                yield GridView(name, channels_last, count, candidates, strides, maps, seen)


def image_tensor(facts: GraphFacts) -> TensorSpec:
    """Return the one input, an image [N, 3, H, W] in float32.

    Raises:
        UnrecognisedError: the inputs are something else.
    """
    shown = ", ".join(str(tensor) for tensor in facts.inputs) or "none"
    if len(facts.inputs) != 1:
        raise UnrecognisedError(
            f"a detector with one image input is expected; the inputs are: {shown}",
            remedy="export the model with the image as its only input",
        )
    image = facts.inputs[0]
    if len(image.shape) != 4 or image.shape[1] != 3:
        hint = "; it looks channels-last" if len(image.shape) == 4 and image.shape[3] == 3 else ""
        raise UnrecognisedError(
            f"the input must be an image [N,3,H,W]; it is {shown}{hint}",
            remedy="export the model with an input of [1,3,H,W]",
        )
    if image.dtype != "float32":
        raise UnrecognisedError(
            f"the image input must be float32; it is {shown}",
            remedy="export the model with a float32 input",
        )
    return image


def input_spec(facts: GraphFacts, defaults: DetectorSpec) -> InputSpec:
    """Return the family's preprocessing for this graph's input and size."""
    changes = {"name": image_tensor(facts).name, "size": facts.input_size}
    return InputSpec.model_validate({**defaults.input.model_dump(), **changes})


def preprocessing_words(spec: InputSpec, source: str) -> dict[str, str]:
    """Say what of the preprocessing is assumed, and from where, by spec key."""
    scaled = f"pixels divided by {spec.scale:g}" if spec.scale != 1 else "pixels 0..255 as they are"
    if any(spec.mean) or any(part != 1 for part in spec.std):
        means, stds = (",".join(f"{part:g}" for part in row) for row in (spec.mean, spec.std))
        scaled += f", mean {means}, std {stds}"
    padded = f", pad {spec.pad}" if spec.resize != "stretch" else ""
    return {
        "color": f"colour order {spec.color.upper()} ({source})",
        "scale": f"{scaled} ({source})",
        "resize": f"resize {spec.resize}{padded} ({source})",
    }
