"""The child's half of building engines with TensorRT-RTX: NVIDIA's parser meets the model here."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from edgecv_cli.core.require import require
from edgecv_cli.runtime.tensorrt_rtx_build import MODULE, PACKAGE, WHY

_MOST_REFUSALS = 64
_SAID = 300  # characters of a refusal


class TensorRtRtxService:
    """Parses and builds; needs neither a GPU nor a driver."""

    def __init__(self) -> None:
        self._trt: Any = require(MODULE, pip=PACKAGE, why=WHY)

    def call(self, method: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Do ``version``, or ``build`` a ``model`` into ``engine`` for ``capabilities``.

        Raises:
            KeyError: it is neither.
        """
        methods = {"version": self._version, "build": self._build}
        return methods[method](payload)

    def _version(self, _payload: dict[str, Any]) -> dict[str, Any]:
        names = self._trt.ComputeCapability.__members__
        known = [_number(name) for name in names if name.startswith("SM")]
        return {"version": str(self._trt.__version__), "capabilities": known}

    def _build(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Answer with the refusals of the parser, or with the engine's size and layers."""
        trt, logger = self._trt, self._logger()
        builder = trt.Builder(logger)
        flag = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        network = builder.create_network(flag)
        parser = trt.OnnxParser(network, logger)
        if not parser.parse(Path(payload["model"]).read_bytes()):
            count = min(parser.num_errors, _MOST_REFUSALS)
            return {"refused": [_refusal(parser.get_error(index)) for index in range(count)]}
        config = builder.create_builder_config()
        wanted = payload["capabilities"]
        config.num_compute_capabilities = len(wanted)
        for index, number in enumerate(wanted):
            capability = getattr(trt.ComputeCapability, f"SM{number.replace('.', '')}")
            config.set_compute_capability(capability, index)
        engine = builder.build_serialized_network(network, config)
        if engine is None:
            return {"refused": [{"node": "", "problem": _short(logger.said or "no reason")}]}
        Path(payload["engine"]).write_bytes(engine)
        layers = (network.get_layer(index) for index in range(network.num_layers))
        kinds = Counter(str(layer.type.name) for layer in layers)
        return {"refused": [], "size": engine.nbytes, "layers": dict(sorted(kinds.items()))}

    def _logger(self) -> Any:
        """Return a logger that keeps the first error: it is the cause, the others follow."""
        trt = self._trt

        class FirstError(trt.ILogger):  # type: ignore[misc, name-defined] # known when imported
            def __init__(self) -> None:
                trt.ILogger.__init__(self)
                self.said = ""

            def log(self, severity: Any, text: str) -> None:
                """Take what the library says."""
                if severity <= trt.ILogger.ERROR and not self.said:
                    self.said = text

        return FirstError()


def _refusal(error: Any) -> dict[str, str]:
    name = error.node_name() or error.node_operator()
    return {"node": str(name), "problem": _short(error.desc())}


def _short(text: str) -> str:
    """Return what matters of a refusal: the assertion, without where in the library it stands."""
    lines = [line for line in text.splitlines() if line and not line.startswith("Invalid Node")]
    line = (lines or [text])[0].removeprefix("Assertion failed: ")
    return line.partition(" In checkType at ")[0][:_SAID]


def _number(name: str) -> str:
    """Return ``8.9`` for ``SM89``."""
    digits = name.removeprefix("SM")
    return f"{digits[:-1]}.{digits[-1]}"
