"""QuantizePlan: everything that turns one float model into one integer model, as data.

A plan is what a search decides; applying it is a pure function (``apply.py``), so a plan that
was measured on one machine gives the same bytes on any other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edgecv_cli.core.errors import ConfigError

_MAX_BYTES = 64 * 1024**2
PlanPrecision = Literal[
    "int8", "int8-int16", "int8-weights", "int4-weights", "int8-dynamic", "fp16", "fp32"
]
"""What a plan makes; ``fp32`` is the normalised float graph."""


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class GridPlan(_Data):
    """Integer grid of one activation tensor: real = scale * (q - zero_point).

    Attributes:
        bits: width of the integer.
        signed: int8 or int16 rather than uint8 or uint16.
    """

    scale: float = Field(ge=1e-12, le=1e30)
    zero_point: int
    bits: Literal[8, 16] = 8
    signed: bool = False

    @model_validator(mode="after")
    def _zero_is_on_the_grid(self) -> Self:
        low = -(2 ** (self.bits - 1)) if self.signed else 0
        if not low <= self.zero_point < low + 2**self.bits:
            raise ValueError(f"zero point {self.zero_point} does not fit its integers")
        return self


class LayerPlan(_Data):
    """How one layer's weights are stored.

    A layer that is not among the plan's ``nodes`` keeps its float arithmetic and only its
    weights are stored as integers (weight-only).

    Attributes:
        bits: 8 (-127..127), 7 (-63..63) or 4 (-7..7).
        sums: width of the sums in which the target adds two products; with 16 the scales keep
            neighbours from saturating them (see ``weights.pair_scales``).
        bias_shift: added to the float bias, per output channel, before it is stored.
        rounding: base64 of one bit a weight, in storage order, most significant bit first
            (``numpy.packbits``): 1 where weight / scale is rounded up, 0 where down. None rounds
            to nearest.
    """

    bits: Literal[4, 7, 8]
    sums: Literal[16, 32] = 32
    bias_shift: tuple[float, ...] | None = None
    rounding: str | None = None


class EqualisePlan(_Data):
    """Cross-layer equalisation of one pair of layers (Nagel et al. 2019, section 4.1).

    Attributes:
        producer: layer whose output channel c is divided by ``factors[c]``, bias too.
        consumer: layer whose weights on input channel c are multiplied by ``factors[c]``.
    """

    producer: str
    consumer: str
    factors: tuple[float, ...]


class QuantizePlan(_Data):
    """A versioned, replayable plan.

    Attributes:
        source: content digest of the float model that it was made for.
        input_size: [height, width] that a dynamic graph was fixed to.
        precision: what the saved model is, as ``--precision`` names it.
        nodes: integer nodes by first output, layers among them, in graph order.
        equalise: pairs that are equalised in the float graph, in order, before anything else.
        bias: how an integer layer's bias is stored; TensorRT takes it as float only.
        kept_fp32: with precision fp16, the nodes that stay float32, by first output.
        dropped: Relu and Clip nodes whose effect the grid of their output implies.
        grids: activation tensor -> grid.
        layers: integer layer -> how its weights are stored.
        reasons: float layer -> why it is float.
        score_threshold: what keeps the original's operating point; None leaves it as it is.
    """

    kind: Literal["edgecv.quantize-plan"] = "edgecv.quantize-plan"
    version: Literal[1, 2, 3] = 3
    source: str
    precision: PlanPrecision = "int8"
    target: str
    placement: str
    estimator: str
    bias_correction: bool
    input_size: tuple[int, int] | None = None
    nodes: tuple[str, ...]
    dropped: tuple[str, ...] = ()
    equalise: tuple[EqualisePlan, ...] = ()
    bias: Literal["int32", "float"] = "int32"
    kept_fp32: tuple[str, ...] = ()
    grids: dict[str, GridPlan]
    layers: dict[str, LayerPlan]
    reasons: dict[str, str] = Field(default_factory=dict)
    score_threshold: float | None = Field(None, gt=0, lt=1)

    def dumps(self) -> str:
        """Return the plan as readable JSON."""
        return self.model_dump_json(indent=1) + "\n"

    def require_source(self, digest: str) -> None:
        """Refuse a model that the plan was not made for; ``digest`` is of its content.

        Raises:
            ConfigError: it is another model.
        """
        if digest != self.source:
            raise ConfigError(
                "the plan was made for another model (its content digest differs)",
                remedy="apply it to the model that it was made from, or quantize anew",
            )

    @classmethod
    def read(cls, path: Path) -> QuantizePlan:
        """Read a plan from a file.

        Raises:
            ConfigError: the file is missing or is not a plan of this version.
        """
        try:
            if path.stat().st_size > _MAX_BYTES:
                raise ConfigError(
                    f"'{path}' is too large for a plan", remedy="give what --save-plan wrote"
                )
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise ConfigError(
                f"plan '{path}' can't be read: {error.strerror}", remedy="check --plan"
            ) from error
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ConfigError(
                f"'{path}' is not a quantize plan: {where} {first['msg']}",
                remedy="give what `edgecv quantize --save-plan` wrote",
            ) from error
