"""What running an engine needs of the CUDA runtime, through ctypes.

Source: NVIDIA, "CUDA Runtime API", memory and stream management.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any

LIBRARY_VARIABLE = "CUDART_LIBRARY"
_NAMES = (
    "libcudart.so",
    "libcudart.so.13",
    "libcudart.so.12",
    "libcudart.so.11.0",
    "libcudart.so.10.2",
)
_TO_DEVICE, _TO_HOST = 1, 2  # cudaMemcpyKind
_POINTER = ctypes.c_void_p
_SIGNATURES = {
    "cudaGetDeviceCount": (ctypes.POINTER(ctypes.c_int),),
    "cudaMalloc": (ctypes.POINTER(_POINTER), ctypes.c_size_t),
    "cudaFree": (_POINTER,),
    "cudaMemcpyAsync": (_POINTER, _POINTER, ctypes.c_size_t, ctypes.c_int, _POINTER),
    "cudaStreamCreate": (ctypes.POINTER(_POINTER),),
    "cudaStreamDestroy": (_POINTER,),
    "cudaStreamSynchronize": (_POINTER,),
    "cudaStreamQuery": (_POINTER,),
    "cudaHostRegister": (_POINTER, ctypes.c_size_t, ctypes.c_uint),
    "cudaHostUnregister": (_POINTER,),
}
_NOT_READY = 600  # cudaErrorNotReady


class CudaError(RuntimeError):
    """The CUDA runtime is not there, or refused something."""


class Cuda:
    """Device memory, copies and streams."""

    def __init__(self) -> None:
        self._library = _load()
        for name, arguments in _SIGNATURES.items():
            function = getattr(self._library, name)
            function.argtypes, function.restype = arguments, ctypes.c_int
        self._library.cudaGetErrorString.restype = ctypes.c_char_p

    def devices(self) -> int:
        """Return how many devices there are; 0 without a driver."""
        count = ctypes.c_int(0)
        failed = self._library.cudaGetDeviceCount(ctypes.byref(count))
        return 0 if failed else count.value

    def allocate(self, size: int) -> int:
        """Return the address of ``size`` bytes on the device."""
        pointer = _POINTER()
        self._call("cudaMalloc", ctypes.byref(pointer), max(size, 1))
        return pointer.value or 0

    def free(self, pointer: int) -> None:
        """Give memory of the device back."""
        self._call("cudaFree", pointer)

    def stream(self) -> int:
        """Return a new stream."""
        stream = _POINTER()
        self._call("cudaStreamCreate", ctypes.byref(stream))
        return stream.value or 0

    def end(self, stream: int) -> None:
        """Destroy a stream."""
        self._call("cudaStreamDestroy", stream)

    def upload(self, pointer: int, array: Any, stream: int) -> None:
        """Copy a contiguous array to the device, in order with what the stream does."""
        self._call("cudaMemcpyAsync", pointer, array.ctypes.data, array.nbytes, _TO_DEVICE, stream)

    def download(self, array: Any, pointer: int, stream: int) -> None:
        """Copy from the device into a contiguous array, in order with what the stream does."""
        self._call("cudaMemcpyAsync", array.ctypes.data, pointer, array.nbytes, _TO_HOST, stream)

    def wait(self, stream: int) -> None:
        """Block until a stream has done everything."""
        self._call("cudaStreamSynchronize", stream)

    def done(self, stream: int) -> bool:
        """Whether a stream has done everything."""
        code = self._library.cudaStreamQuery(stream)
        if code not in (0, _NOT_READY):
            raise self._error("cudaStreamQuery", code)
        return bool(code == 0)

    def pin(self, array: Any) -> bool:
        """Keep an array where it is in memory, which makes copies faster; False if it can't be."""
        code = self._library.cudaHostRegister(array.ctypes.data, max(array.nbytes, 1), 0)
        return bool(code == 0)

    def unpin(self, array: Any) -> None:
        """Undo :meth:`pin`."""
        self._library.cudaHostUnregister(array.ctypes.data)

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._library, name)(*arguments)
        if code:
            raise self._error(name, code)

    def _error(self, name: str, code: int) -> CudaError:
        said = self._library.cudaGetErrorString(code) or b"?"
        return CudaError(f"{name}: {said.decode('ascii', 'replace')} ({code})")


def _load() -> Any:
    asked = os.environ.get(LIBRARY_VARIABLE)
    problem = ""
    for name in (asked,) if asked else _NAMES:
        found, why = _opened(name)
        if found is not None:
            return found
        problem = problem or why
    raise CudaError(
        f"the CUDA runtime can't be loaded ({problem}); name its file in the variable "
        f"{LIBRARY_VARIABLE}"
    )


def _opened(name: str) -> tuple[Any, str]:
    """Return the library, or None and why not."""
    try:
        return ctypes.CDLL(name), ""
    except OSError as error:
        return None, str(error)
