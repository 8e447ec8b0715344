"""A stand-in for TensorRT and the CUDA runtime that keeps their contracts, on ONNX Runtime.

An engine is a line of JSON and the ONNX file. Work is queued on streams and done when somebody
waits, so that whoever reads too early reads nothing. ``FAKE_TENSORRT_FAULT`` names what is wrong
with an engine, ``FAKE_TENSORRT_VERSION`` the release; ``FAKE_CUDART`` puts the stand-in in the
place of the library for a whole process.
"""

import ctypes
import itertools
import json
import os
import re
import threading

import numpy as np
import onnx
import onnxruntime as ort

__version__ = os.environ.get("FAKE_TENSORRT_VERSION", "10.3.0")
_MAGIC = b"FAKE-TENSORRT "
_KINDS = {np.float32: "FLOAT", np.float16: "HALF", np.int64: "INT64", np.uint8: "UINT8"}


class _Names:
    """Members whose text ends in their name, as those of an enumeration do."""

    def __init__(self, kind, *names):
        self._kind = kind
        for value, name in enumerate(names):
            setattr(self, name, _Member(f"{kind}.{name}", value))


class _Member(int):
    def __new__(cls, text, value):
        made = super().__new__(cls, value)
        made.text = text
        return made

    def __str__(self):
        return self.text


TensorIOMode = _Names("TensorIOMode", "NONE", "INPUT", "OUTPUT")
DataType = _Names("DataType", "FLOAT", "HALF", "INT64", "UINT8")
LayerInformationFormat = _Names("LayerInformationFormat", "ONELINE", "JSON")
NetworkDefinitionCreationFlag = _Names("Flag", "EXPLICIT_BATCH", "STRONGLY_TYPED")
MemoryPoolType = _Names("MemoryPoolType", "WORKSPACE")
ProfilingVerbosity = _Names("ProfilingVerbosity", "LAYER_NAMES_ONLY", "NONE", "DETAILED")
BuilderFlag = _Names("BuilderFlag", "FP16", "INT8", "VERSION_COMPATIBLE")
HardwareCompatibilityLevel = _Names(
    "HardwareCompatibilityLevel", "NONE", "AMPERE_PLUS", "SAME_COMPUTE_CAPABILITY"
)


class ILogger:
    INTERNAL_ERROR, ERROR, WARNING, INFO = range(4)


class Logger(ILogger):
    def __init__(self, severity=ILogger.WARNING):
        self.severity = severity


def init_libnvinfer_plugins(logger, namespace):
    assert namespace == ""
    return True


class Runtime:
    engine_host_code_allowed = False

    def __init__(self, logger):
        self.logger = logger

    def deserialize_cuda_engine(self, data):
        if not data.startswith(_MAGIC):
            return None
        head, _, model = bytes(data)[len(_MAGIC) :].partition(b"\n")
        about = json.loads(head)
        if about["version"] != __version__ or (
            about["own_code"] and not self.engine_host_code_allowed
        ):
            return None
        return _Engine(about, model)


class _Engine:
    def __init__(self, about, model):
        self.about = about
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = 1
        settings.add_session_config_entry("session.disable_quant_qdq", "1")
        settings.log_severity_level = 4
        self.session = ort.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
        fault = os.environ.get("FAKE_TENSORRT_FAULT")
        outputs = self.session.get_outputs()
        self.outputs = outputs[1:] if fault == "missing" else outputs
        self.values = {v.name: v for v in [*self.session.get_inputs(), *self.outputs]}
        self.names = list(self.values)
        self.num_io_tensors = len(self.names)

    def get_tensor_name(self, index):
        return self.names[index]

    def get_tensor_mode(self, name):
        fed = name in {value.name for value in self.session.get_inputs()}
        return TensorIOMode.INPUT if fed else TensorIOMode.OUTPUT

    def get_tensor_shape(self, name):
        return [size if isinstance(size, int) else -1 for size in self.values[name].shape]

    def get_tensor_dtype(self, name):
        kinds = {
            "tensor(float)": DataType.FLOAT,
            "tensor(float16)": DataType.HALF,
            "tensor(int64)": DataType.INT64,
            "tensor(uint8)": DataType.UINT8,
        }
        return kinds[self.values[name].type]

    def create_execution_context(self):
        return _Context(self)

    def create_engine_inspector(self):
        return _Inspector(self)


class _Inspector:
    execution_context = None

    def __init__(self, engine):
        self.engine = engine

    def get_engine_information(self, form):
        assert form is LayerInformationFormat.JSON
        layers = self.engine.about["layers"]
        fault = os.environ.get("FAKE_TENSORRT_FAULT")
        if fault == "names":
            layers = [layer["Name"] for layer in layers]
        if fault == "float":
            text = json.dumps(layers).replace("Int8", "FP32")
            layers = json.loads(text)
        return json.dumps({"Layers": layers, "Bindings": self.engine.names})


class _Context:
    def __init__(self, engine):
        self.engine = engine
        self.shapes, self.addresses = {}, {}

    def set_input_shape(self, name, shape):
        declared = self.engine.get_tensor_shape(name)
        shape = tuple(shape)
        profile = self.engine.about["profile"].get(name)
        if len(declared) != len(shape):
            return False
        low, high = (profile[0], profile[2]) if profile else (declared, declared)
        if not all(a <= size <= b for a, size, b in zip(low, shape, high, strict=True)):
            return False
        self.shapes[name] = shape
        return True

    def get_tensor_shape(self, name):
        fed = {value.name: value for value in self.engine.session.get_inputs()}
        feeds = {}
        for key, value in fed.items():
            kind = np.float32 if value.type == "tensor(float)" else np.uint8
            feeds[key] = np.zeros(self.shapes.get(key, value.shape), kind)
        return list(self.engine.session.run([name], feeds)[0].shape)

    def set_tensor_address(self, name, address):
        assert isinstance(address, int)
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream_handle):
        addresses, shapes = dict(self.addresses), dict(self.shapes)
        assert set(addresses) == set(self.engine.names), "a tensor has no address"
        CUDART.queue(stream_handle, lambda: self._run(addresses, shapes))
        return True

    def _run(self, addresses, shapes):
        feeds = {}
        for value in self.engine.session.get_inputs():
            kind = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}[value.type]
            feeds[value.name] = _seen(addresses[value.name], shapes[value.name], kind).copy()
        names = [value.name for value in self.engine.outputs]
        for name, made in zip(names, self.engine.session.run(names, feeds), strict=True):
            spoilt = _spoilt(np.asarray(made))
            _seen(addresses[name], spoilt.shape, spoilt.dtype)[...] = spoilt


def _spoilt(made):
    fault = os.environ.get("FAKE_TENSORRT_FAULT")
    if made.dtype.kind != "f" or fault not in ("wrong", "nan"):
        return made
    if fault == "wrong":
        return -made
    made = made.copy()
    made.flat[0] = np.nan
    return made


def _seen(address, shape, kind):
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    memory = (ctypes.c_char * max(size, 1)).from_address(address)
    return np.frombuffer(memory, kind, int(np.prod(shape))).reshape(shape)


class Builder:
    def __init__(self, logger):
        self.logger = logger

    def create_network(self, flags=0):
        return _Network(flags)

    def create_builder_config(self):
        return _Config()

    def create_optimization_profile(self):
        return _Profile()

    def build_serialized_network(self, network, config):
        model = network.model
        if os.environ.get("FAKE_TENSORRT_FAULT") == "unbuilt":
            self.logger.log(ILogger.ERROR, "no kernel for this")
            return None
        profile = config.profiles[0].shapes if config.profiles else {}
        if any(d.dim_param for d in model.graph.input[0].type.tensor_type.shape.dim) != bool(
            profile
        ):
            self.logger.log(ILogger.ERROR, "a dynamic input needs an optimization profile")
            return None
        strong = bool(network.flags & (1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        integers = strong or BuilderFlag.INT8 in config.flags
        head = {
            "version": __version__,
            "profile": profile,
            "layers": _layers(model, integers, BuilderFlag.FP16 in config.flags),
            "config": config.said(),
            "own_code": BuilderFlag.VERSION_COMPATIBLE in config.flags,
        }
        return _MAGIC + json.dumps(head).encode() + b"\n" + model.SerializeToString()


def _layers(model, integers, half):
    restored = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    found = []
    for node in model.graph.node:
        if node.op_type != "Conv":
            continue
        kind = "FP16" if half else "FP32"
        if integers and node.input[0] in restored:
            kind = "Int8"
        name = node.name or f"node_of_{node.output[0]}"
        tensor = {"Name": node.input[0], "Format/Datatype": f"Row major {kind} format"}
        found.append(
            {"Name": f"Reformatting CopyNode for Input Tensor 0 to {name}", "LayerType": "Reformat"}
        )
        found.append(
            {
                "Name": f"{name} + relu",
                "LayerType": "CaskConvolution",
                "Inputs": [tensor],
                "Metadata": f"[ONNX Layer: {name}]\x1f[ONNX Layer: relu]",
            }
        )
    return found


class _Network:
    def __init__(self, flags):
        self.flags = flags

    @property
    def num_layers(self):
        return len(self.model.graph.node)

    def get_layer(self, index):
        node = self.model.graph.node[index]
        kind = {"Conv": "CONVOLUTION"}.get(node.op_type, node.op_type.upper())
        layer = type("Layer", (), {})()
        layer.type = _Member(f"LayerType.{kind}", 0)
        return layer


class _Config:
    def __init__(self):
        self.flags, self.profiles, self.pools = set(), [], {}
        self.profiling_verbosity = ProfilingVerbosity.LAYER_NAMES_ONLY
        self.builder_optimization_level = 3
        self.hardware_compatibility_level = HardwareCompatibilityLevel.NONE

    def set_flag(self, flag):
        self.flags.add(flag)

    def set_memory_pool_limit(self, pool, size):
        self.pools[str(pool)] = size

    def add_optimization_profile(self, profile):
        self.profiles.append(profile)
        return 0

    def create_timing_cache(self, data):
        return _Cache(data)

    def set_timing_cache(self, cache, ignore_mismatch):
        self.cache = cache
        return ignore_mismatch or cache.data in (b"", b"learnt " + __version__.encode())

    def get_timing_cache(self):
        return self.cache

    def said(self):
        return {
            "flags": sorted(str(flag) for flag in self.flags),
            "pools": self.pools,
            "level": self.builder_optimization_level,
            "hardware": str(self.hardware_compatibility_level),
            "verbosity": str(self.profiling_verbosity),
            "cache": self.cache.data.decode(),
        }


class _Cache:
    def __init__(self, data):
        self.data = data

    def serialize(self):
        return b"learnt " + __version__.encode()


class _Profile:
    def __init__(self):
        self.shapes = {}

    def set_shape(self, name, low, usual, high):
        self.shapes[name] = [list(low), list(usual), list(high)]


class OnnxParser:
    def __init__(self, network, logger):
        self.network, self.problems = network, []

    @property
    def num_errors(self):
        return len(self.problems)

    def parse(self, data):
        self.network.model = onnx.load_from_string(data)
        for node in self.network.model.graph.node:
            if node.domain or node.op_type == "ConvInteger":
                self.problems.append(node)
        return not self.problems

    def get_error(self, index):
        node = self.problems[index]
        error = type("Error", (), {})()
        error.desc = lambda: f"Invalid Node - {node.name}\nNo importer for {node.op_type}"
        error.node_name = lambda: node.name
        return error


class Cudart:
    """The CUDA runtime: memory of this process, and streams that work when they are waited for."""

    def __init__(self):
        self._memory, self._streams = {}, {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self.pinned = set()
        void, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
        out = ctypes.POINTER(void)
        for name, kinds in {
            "cudaGetDeviceCount": (ctypes.POINTER(number),),
            "cudaMalloc": (out, size),
            "cudaFree": (void,),
            "cudaMemcpyAsync": (void, void, size, number, void),
            "cudaStreamCreate": (out,),
            "cudaStreamDestroy": (void,),
            "cudaStreamSynchronize": (void,),
            "cudaStreamQuery": (void,),
            "cudaHostRegister": (void, size, ctypes.c_uint),
            "cudaHostUnregister": (void,),
        }.items():
            setattr(self, name, ctypes.CFUNCTYPE(number, *kinds)(getattr(self, _own(name))))
        self.cudaGetErrorString = lambda _: b"no luck"

    @property
    def held(self):
        """How many pieces of memory and streams nobody has given back."""
        return len(self._memory) + len(self._streams)

    def queue(self, stream, work):
        self._streams[stream].append(work)

    def _get_device_count(self, count):
        count[0] = int(os.environ.get("FAKE_CUDA_DEVICES", "1"))
        return 0 if count[0] else 100

    def _malloc(self, pointer, size):
        if size > 2**32:
            return 2
        memory = ctypes.create_string_buffer(size)
        with self._lock:
            self._memory[ctypes.addressof(memory)] = memory
        pointer[0] = ctypes.addressof(memory)
        return 0

    def _free(self, pointer):
        return 0 if self._memory.pop(pointer, None) is not None else 1

    def _memcpy_async(self, target, source, size, kind, stream):
        device = target if kind == 1 else source
        if device not in self._memory or len(self._memory[device]) < size:
            return 700
        self.queue(stream, lambda: ctypes.memmove(target, source, size))
        return 0

    def _stream_create(self, stream):
        stream[0] = next(self._numbers)
        self._streams[stream[0]] = []
        return 0

    def _stream_destroy(self, stream):
        return 0 if self._streams.pop(stream, None) is not None else 400

    def _stream_synchronize(self, stream):
        if stream not in self._streams:
            return 400
        work, self._streams[stream] = self._streams[stream], []
        for one in work:
            one()
        return 0

    def _stream_query(self, stream):
        if self._streams[stream]:
            self._streams[stream].pop(0)()
            return 600
        return 0

    def _host_register(self, pointer, size, flags):
        self.pinned.add(pointer)
        return 0

    def _host_unregister(self, pointer):
        self.pinned.discard(pointer)
        return 0


def _own(name):
    """``_host_register`` for ``cudaHostRegister``."""
    return re.sub("([A-Z])", r"_\1", name[4:]).lower()


CUDART = Cudart()

if os.environ.get("FAKE_CUDART"):
    _loaded = ctypes.CDLL
    ctypes.CDLL = lambda name, *rest, **more: (
        CUDART if "cudart" in str(name) else _loaded(name, *rest, **more)
    )
