"""What a network is fed: the picture, and what its other inputs are to hold.

One place for every run: detection, calibration, evaluation and timing feed the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.errors import ConfigError, EngineError, ModelError
from edgecv_cli.core.tensors import TensorSpec, is_image, is_nhwc
from edgecv_cli.detector.letterbox import Letterbox
from edgecv_cli.detector.pixels import ByteArray, picture_shape
from edgecv_cli.detector.spec import DetectorSpec, Fed, InputSpec

_MOST_NUMBERS = 1_000_000  # of an input that is no picture
_MOST_PIXELS = 2**28  # over a whole batch
_NUMERIC = ("float16", "float32", "float64", "int8", "uint8", "int32", "int64", "bool")


class InputFeed:
    """Buffers for every input of a network, made once; pictures are written in place.

    A network of a fixed batch gets the picture in every place of it, and its answer to the first
    is read: whatever it computes across the batch sees nothing but that picture, and statistics
    over the batch are the picture's.

    Attributes:
        feeds: input name to array; the arrays stay the same ones.
        batch: pictures of one run.
        spec: the picture's input as the network declares it.
    """

    def __init__(
        self,
        inputs: Sequence[TensorSpec],
        spec: DetectorSpec,
        buffers: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        """Make the buffers.

        Args:
            inputs: what the network takes; an open batch becomes 1, an open size the spec's.
            spec: how pictures are fed, and what the other inputs hold.
            buffers: arrays to use, by input name, such as a request's; each of the input's shape
                and type, an open batch as 1. None makes some.

        Raises:
            EngineError: no input is the picture's, or another is not explained by the spec.
            ModelError: the picture's input contradicts the spec.
            ConfigError: ``extra_inputs`` does not fit an input.
        """
        image = image_of(inputs, spec.input)
        self.spec = as_declared(image, spec.input)
        self.batch = image.shape[0] or 1
        shape = (self.batch, *picture_shape(self.spec))
        if math.prod(shape) > _MOST_PIXELS:
            raise ModelError(f"input {image} is too large to be fed", remedy="export a smaller one")
        given = buffers or {}
        self._tensor: NDArray[Any] = given.get(image.name, np.zeros(shape, self.spec.dtype))
        self._bordered: Letterbox | None = None  # whose padding the buffer holds
        feeds: dict[str, NDArray[Any]] = {image.name: self._tensor}
        for tensor in inputs:
            if tensor is not image:
                numbers = _numbers(tensor, spec, self.batch)
                feeds[tensor.name] = given.get(tensor.name, numbers)
                feeds[tensor.name][...] = numbers
        self.feeds: Mapping[str, NDArray[Any]] = feeds

    def fill(self, picture: ByteArray) -> Letterbox:
        """Write a picture (uint8 BGR [H, W, 3]); returns the geometry for the way back.

        The padding is written when the size of the pictures changes: nobody else may write into
        the buffer.
        """
        last, self._bordered = self._bordered, None
        if last is not None and last.source == picture.shape[:2]:
            fit = last
        else:
            fit = Letterbox.fit(picture.shape[:2], self.spec)
        fit.apply(picture, self._tensor[0], bordered=fit is last)
        self._bordered = fit
        self._tensor[1:] = self._tensor[0]
        return fit


def fed_as(inputs: Sequence[TensorSpec], spec: DetectorSpec) -> DetectorSpec:
    """Return the spec with the picture's input as a network with these inputs declares it.

    Raises:
        EngineError, ModelError: as :class:`InputFeed`.
    """
    return spec.replace(input=as_declared(image_of(inputs, spec.input), spec.input))


def image_of(inputs: Sequence[TensorSpec], spec: InputSpec) -> TensorSpec:
    """Return the input that takes the picture: the one of that name, else the one of its shape.

    Raises:
        EngineError: there is none, or several are pictures and none has the name.
    """
    for tensor in inputs:
        if tensor.name == spec.name:
            return tensor
    images = [tensor for tensor in inputs if is_image(tensor.shape)]
    if len(images) != 1:
        raise EngineError(
            f"the model has no input '{spec.name}', but {', '.join(t.name for t in inputs)}",
            remedy="name the image input in --spec under input: {name: ...}",
        )
    return images[0]


def as_declared(image: TensorSpec, spec: InputSpec) -> InputSpec:
    """Return the spec with the input's own element type and layout, if it can be fed so.

    Raises:
        ModelError: the two differ in size, or one takes bytes and the other does not.
    """
    size, nhwc = image.shape[1:3], is_nhwc(image.shape)
    if not nhwc:
        size = image.shape[2:4]
    whole = "uint8" in (image.dtype, spec.dtype)
    if image.dtype not in ("float32", "float16", "uint8") or (whole and image.dtype != spec.dtype):
        raise ModelError(
            f"the spec feeds {spec.dtype}, but the model takes {image}",
            remedy="give the spec that belongs to this model with --spec",
        )
    if any(known not in (None, side) for known, side in zip(size, spec.size, strict=True)):
        raise ModelError(
            f"the spec feeds images of {spec.size[0]}x{spec.size[1]}, but the model takes {image}",
            remedy="leave input.size out of --spec",
        )
    layout = "nhwc" if nhwc else "nchw"
    return spec.model_copy(update={"dtype": image.dtype, "layout": layout})


def _numbers(tensor: TensorSpec, spec: DetectorSpec, batch: int) -> NDArray[Any]:
    told = spec.extra_inputs.get(tensor.name)
    if told is None:
        raise EngineError(
            f"nothing says what the model's input {tensor} is fed",
            remedy=f"write `extra_inputs: {{{tensor.name}: input-hw}}` into --spec (or input-wh, "
            "ones, or numbers)",
        )
    values = _values(told, spec.input.size)
    sizes = list(tensor.shape)
    if sizes and sizes[0] is None and (len(sizes) > 1 or len(values) == 1):
        sizes[0] = batch
    shape = [len(values) if size is None else size for size in sizes]
    count = math.prod(shape)
    fits = count <= _MOST_NUMBERS and count % len(values) == 0
    if fits and tensor.dtype in _NUMERIC:
        # several rows: the same numbers for each picture of the batch
        return np.resize(np.asarray(values, np.float64), shape).astype(tensor.dtype)
    raise ConfigError(
        f"detector spec, extra_inputs: {len(values)} numbers do not fill input {tensor}",
        remedy=f"give {tensor.name} as many numbers as the input takes",
    )


def _values(told: Fed | tuple[float, ...], size: tuple[int, int]) -> tuple[float, ...]:
    if told == "input-hw":
        return size
    if told == "input-wh":
        return size[::-1]
    return (1.0,) if isinstance(told, str) else told or (0.0,)
