"""The child's half of building engines with classic TensorRT.

Python API: TensorRT documentation, IBuilderConfig and INetworkDefinition, 8.6 to 11.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from edgecv_cli.core.require import require
from edgecv_cli.runtime.carried.cuda_runtime import Cuda, CudaError
from edgecv_cli.runtime.tensorrt_build import MODULE, PACKAGE, WHY
from edgecv_cli.runtime.tensorrt_parsing import first_error, refusals, unbuilt

_MIB = 2**20
_HARDWARE = {"ampere+": "AMPERE_PLUS", "same-compute-capability": "SAME_COMPUTE_CAPABILITY"}


class TensorRtService:
    """Parses and builds for the GPU of this machine."""

    def __init__(self) -> None:
        self._trt: Any = require(MODULE, pip=PACKAGE, why=WHY)

    def call(self, method: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Do ``version``, or ``build`` a ``model`` into ``engine`` by a ``recipe``.

        Raises:
            KeyError: it is neither.
        """
        methods = {"version": self._version, "build": self._build}
        return methods[method](payload)

    def _version(self, _payload: dict[str, Any]) -> dict[str, Any]:
        try:
            devices = Cuda().devices()
        except CudaError:
            devices = 0
        return {"version": str(self._trt.__version__), "devices": devices}

    def _build(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Answer with the refusals of the parser, or with the engine's size and layers."""
        trt, logger = self._trt, first_error(self._trt)
        trt.init_libnvinfer_plugins(logger, "")
        said: dict[str, Any] = {"version": str(trt.__version__)}
        recipe = payload["recipe"]
        builder = trt.Builder(logger)
        network = builder.create_network(self._network_flags(recipe))
        parser = trt.OnnxParser(network, logger)
        if not parser.parse(Path(payload["model"]).read_bytes()):
            return {**said, "refused": refusals(parser)}
        config = builder.create_builder_config()
        self._configure(config, recipe)
        self._add_profile(builder, config, recipe["settings"]["shapes"])
        self._start_cache(config, payload["timing_cache"])
        engine = builder.build_serialized_network(network, config)
        if engine is None:
            return {**said, "refused": unbuilt(logger)}
        Path(payload["engine"]).write_bytes(engine)
        if payload["save_timing_cache"] is not None:
            Path(payload["save_timing_cache"]).write_bytes(config.get_timing_cache().serialize())
        layers = (network.get_layer(index) for index in range(network.num_layers))
        kinds = Counter(str(layer.type).rpartition(".")[2] for layer in layers)
        size = Path(payload["engine"]).stat().st_size
        return {**said, "refused": [], "size": size, "layers": dict(sorted(kinds.items()))}

    def _network_flags(self, recipe: dict[str, Any]) -> int:
        """Return what decides where precision comes from: in 10.x the graph, if it says any."""
        kinds = self._trt.NetworkDefinitionCreationFlag
        if recipe["generation"] == "8.6":
            return 1 << int(kinds.EXPLICIT_BATCH)
        if recipe["generation"] == "10" and (recipe["quantized"] or recipe["half"]):
            return 1 << int(kinds.STRONGLY_TYPED)
        return 0  # 11 is always so

    def _configure(self, config: Any, recipe: dict[str, Any]) -> None:
        trt, settings = self._trt, recipe["settings"]
        pool = trt.MemoryPoolType.WORKSPACE
        config.set_memory_pool_limit(pool, settings["workspace_mb"] * _MIB)
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        if settings["level"] is not None:
            config.builder_optimization_level = settings["level"]
        if settings["version_compatible"]:
            config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
        if settings["hardware"] is not None:
            levels = trt.HardwareCompatibilityLevel
            config.hardware_compatibility_level = getattr(levels, _HARDWARE[settings["hardware"]])
        for flag in _weak_flags(recipe):
            config.set_flag(getattr(trt.BuilderFlag, flag))

    @staticmethod
    def _add_profile(builder: Any, config: Any, shapes: list[Any]) -> None:
        if not shapes:
            return
        profile = builder.create_optimization_profile()
        for name, (fewest, usual, most) in shapes:
            profile.set_shape(name, tuple(fewest), tuple(usual), tuple(most))
        config.add_optimization_profile(profile)

    @staticmethod
    def _start_cache(config: Any, path: str | None) -> None:
        """Start from an earlier cache; one of another GPU or release is begun anew."""
        known = b"" if path is None else Path(path).read_bytes()
        if not config.set_timing_cache(config.create_timing_cache(known), False):
            config.set_timing_cache(config.create_timing_cache(b""), False)


def _weak_flags(recipe: dict[str, Any]) -> list[str]:
    """Return the builder's flags for precision, where the graph does not decide it alone."""
    if recipe["generation"] == "8.6" and (recipe["quantized"] or recipe["precision"] == "int8"):
        return ["INT8", "FP16"]
    weak = recipe["generation"] != "11" and not recipe["quantized"] and not recipe["half"]
    old = recipe["generation"] == "8.6" and recipe["half"]
    return ["FP16"] if old or (weak and recipe["precision"] == "fp16") else []
