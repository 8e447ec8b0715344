"""QuantizePlan: everything that turns one float model into one integer model, as data.

A plan is what a search decides; applying it is a pure function (``apply.py``), so a plan that
was measured on one machine gives the same bytes on any other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgecv_cli.core.errors import ConfigError

_MAX_BYTES = 64 * 1024**2


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class GridPlan(_Data):
    """uint8 grid of one activation tensor: real = scale * (q - zero_point)."""

    scale: float = Field(ge=1e-12, le=1e30)
    zero_point: int = Field(ge=0, le=255)


class LayerPlan(_Data):
    """How one layer's weights are stored.

    Attributes:
        bits: 8 (-127..127), or 7 (-63..63) where 16-bit sums of the target saturate.
        bias_shift: added to the float bias, per output channel, before it is stored.
    """

    bits: Literal[7, 8]
    bias_shift: tuple[float, ...] | None = None


class QuantizePlan(_Data):
    """A versioned, replayable plan.

    Attributes:
        source: content digest of the float model that it was made for.
        input_size: [height, width] that a dynamic graph was fixed to.
        nodes: integer nodes by first output, layers among them, in graph order.
        dropped: Relu and Clip nodes whose effect the grid of their output implies.
        grids: activation tensor -> grid.
        layers: integer layer -> how its weights are stored.
        reasons: float layer -> why it is float.
    """

    kind: Literal["edgecv.quantize-plan"] = "edgecv.quantize-plan"
    version: Literal[1] = 1
    source: str
    target: str
    placement: str
    estimator: str
    bias_correction: bool
    input_size: tuple[int, int] | None = None
    nodes: tuple[str, ...]
    dropped: tuple[str, ...] = ()
    grids: dict[str, GridPlan]
    layers: dict[str, LayerPlan]
    reasons: dict[str, str] = Field(default_factory=dict)

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
