"""Ways to look at a graph's outputs that the heads share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

from edgecv_cli.core.errors import ConfigError, UnrecognisedError
from edgecv_cli.core.tensors import TensorSpec, is_image, is_nhwc
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
    """Return the input that takes pictures: [N, 3, H, W] or [N, H, W, 3].

    Its elements are float32, float16 or uint8. Other inputs may stand beside it, see
    :func:`require_fed`.

    Raises:
        UnrecognisedError: there is none, or more than one.
    """
    shown = ", ".join(str(tensor) for tensor in facts.inputs) or "none"
    images = [tensor for tensor in facts.inputs if is_image(tensor.shape)]
    if len(images) != 1:
        many = f"{len(images)} are images" if images else "none is an image [N,3,H,W] or [N,H,W,3]"
        raise UnrecognisedError(
            f"a detector takes one colour image; the inputs are: {shown}, of which {many}",
            remedy="export the model with one image input, such as [1,3,H,W]",
        )
    if images[0].dtype not in get_args(InputSpec.model_fields["dtype"].annotation):
        raise UnrecognisedError(
            f"the image input must be float32, float16 or uint8; it is {images[0]}",
            remedy="export the model with a float32 input",
        )
    return images[0]


def input_spec(facts: GraphFacts, defaults: DetectorSpec) -> InputSpec:
    """Return the family's preprocessing for this graph's input and size.

    A uint8 input has its scaling inside the graph: the family's would be applied twice.
    """
    image = image_tensor(facts)
    changes: dict[str, object] = {
        "name": image.name,
        "size": facts.input_size,
        "dtype": image.dtype,
        "layout": "nhwc" if is_nhwc(image.shape) else "nchw",
    }
    if image.dtype == "uint8":
        changes |= {"scale": 1.0, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    return InputSpec.model_validate({**defaults.input.model_dump(), **changes})


def require_fed(facts: GraphFacts, spec: DetectorSpec) -> None:
    """Check that the spec says what every input is fed.

    Raises:
        UnrecognisedError: an input beside the image is not explained.
        ConfigError: the spec feeds an input that the graph lacks.
    """
    names = {tensor.name for tensor in facts.inputs}
    strange = sorted(set(spec.extra_inputs) - names)
    if strange:
        raise ConfigError(
            f"detector spec, extra_inputs: the graph has no input '{strange[0]}', but "
            f"{', '.join(sorted(names))}",
            remedy="correct `extra_inputs` in --spec",
        )
    image = spec.input.name or image_tensor(facts).name
    for tensor in facts.inputs:
        if tensor.name != image and tensor.name not in spec.extra_inputs:
            raise UnrecognisedError(
                f"the graph takes a second input, {tensor}, and nothing says what it is fed",
                remedy=f"write `extra_inputs: {{{tensor.name}: input-hw}}` (or input-wh, ones, or "
                "a list of numbers) into a file and give it with --spec",
            )


def preprocessing_words(spec: InputSpec, source: str) -> dict[str, str]:
    """Say what of the preprocessing is assumed, and from where, by spec key."""
    scaled = f"pixels divided by {spec.scale:g}" if spec.scale != 1 else "pixels 0..255 as they are"
    if any(spec.mean) or any(part != 1 for part in spec.std):
        means, stds = (",".join(f"{part:g}" for part in row) for row in (spec.mean, spec.std))
        scaled += f", mean {means}, std {stds}"
    if spec.dtype == "uint8":
        scaled, basis = "pixels 0..255 as they are", "a uint8 input's scaling is inside the graph"
    else:
        basis = source
    padded = f", pad {spec.pad}" if spec.resize != "stretch" else ""
    return {
        "color": f"colour order {spec.color.upper()} ({source})",
        "scale": f"{scaled} ({basis})",
        "resize": f"resize {spec.resize}{padded} ({source})",
    }
