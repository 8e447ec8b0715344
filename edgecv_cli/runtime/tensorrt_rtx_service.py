"""The child's half of building engines with TensorRT-RTX: NVIDIA's parser meets the model here."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from edgecv_cli.core.require import require
from edgecv_cli.runtime.tensorrt_parsing import first_error, refusals, unbuilt
from edgecv_cli.runtime.tensorrt_rtx_build import MODULE, PACKAGE, WHY


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
        trt, logger = self._trt, first_error(self._trt)
        builder = trt.Builder(logger)
        flag = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        network = builder.create_network(flag)
        parser = trt.OnnxParser(network, logger)
        if not parser.parse(Path(payload["model"]).read_bytes()):
            return {"refused": refusals(parser)}
        config = builder.create_builder_config()
        wanted = payload["capabilities"]
        config.num_compute_capabilities = len(wanted)
        for index, number in enumerate(wanted):
            capability = getattr(trt.ComputeCapability, f"SM{number.replace('.', '')}")
            config.set_compute_capability(capability, index)
        engine = builder.build_serialized_network(network, config)
        if engine is None:
            return {"refused": unbuilt(logger)}
        Path(payload["engine"]).write_bytes(engine)
        layers = (network.get_layer(index) for index in range(network.num_layers))
        kinds = Counter(str(layer.type.name) for layer in layers)
        return {"refused": [], "size": engine.nbytes, "layers": dict(sorted(kinds.items()))}


def _number(name: str) -> str:
    """Return ``8.9`` for ``SM89``."""
    digits = name.removeprefix("SM")
    return f"{digits[:-1]}.{digits[-1]}"
