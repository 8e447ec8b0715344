"""What runs in the side environment: alone, offline, with plain files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from edgecv_cli.runtime import tflite_convert, tflite_worker

CONVERTER = """
import pathlib, socket
def convert(input_onnx_file_path, output_folder_path, **options):
    assert options["tflite_backend"] == "flatbuffer_direct"
    name = pathlib.Path(input_onnx_file_path).stem
    if name == "fetches":
        socket.create_connection(("127.0.0.1", 9), timeout=1)
    if name != "silent":
        (pathlib.Path(output_folder_path) / f"{name}_float32.tflite").write_bytes(b"made")
"""


def run(folder, name):
    """Run the worker with a converter that stands in for the real one."""
    (folder / "onnx2tf.py").write_text(CONVERTER)
    job = folder / "job.json"
    made = folder / "out.tflite"
    job.write_text(json.dumps({"do": "convert", "onnx": f"{name}.onnx", "tflite": str(made)}))
    code = f"import sys, runpy; sys.path.insert(0, {str(folder)!r}); sys.argv = ['w', {str(job)!r}]"
    code += f"; runpy.run_path({tflite_worker.__file__!r}, run_name='__main__')"
    argv = [sys.executable, "-I", "-c", code]
    return subprocess.run(argv, capture_output=True, text=True, check=False), made


def test_the_float_file_is_moved_where_it_was_asked_for(tmp_path):
    done, made = run(tmp_path, "model")
    assert (done.returncode, made.read_bytes()) == (0, b"made")


def test_a_converter_that_reaches_for_the_network_is_stopped(tmp_path):
    done, made = run(tmp_path, "fetches")
    assert done.returncode != 0
    assert "lets no converter use the network" in done.stderr
    assert not made.exists()


def test_a_converter_that_writes_nothing_fails(tmp_path):
    done, _ = run(tmp_path, "silent")
    assert done.returncode != 0
    assert "wrote no float32 file" in done.stderr


def test_samples_are_read_again_on_each_pass(tmp_path):
    for index in range(3):
        np.save(tmp_path / f"{index}.npy", np.full(2, index, np.float32))
    samples = tflite_worker._Samples(tmp_path, "x")

    assert len(samples) == 3
    for _ in range(2):
        assert [int(one["x"][0]) for one in samples] == [0, 1, 2]


class Tensor:
    """A tensor as the generated reader gives it: 0 for a vector that is not there."""

    def __init__(self, shape, signature):
        self.shape, self.signature = (
            0 if sizes is None else np.asarray(sizes, np.int32) for sizes in (shape, signature)
        )

    def ShapeAsNumpy(self):  # noqa: N802
        return self.shape

    def ShapeSignatureAsNumpy(self):  # noqa: N802
        return self.signature


class Graph:
    """A graph of one input, the first tensor."""

    def __init__(self, *tensors):
        self.tensors = [Tensor(*one) for one in tensors]

    def TensorsLength(self):  # noqa: N802
        return len(self.tensors)

    def Tensors(self, index):  # noqa: N802
        return self.tensors[index]

    def InputsLength(self):  # noqa: N802
        return 1

    def Inputs(self, index):  # noqa: N802
        return index


def test_shapes_that_are_called_open_and_are_not_are_closed():
    graph = Graph(([1, 8, 8, 3], None), ([1, 4, 8, 3], [-1, 4, -1, 3]), (None, None))
    assert tflite_worker._close(graph, [[1, 8, 8, 3], [1, 4, 8, 3], [], [1, 16]])
    assert graph.tensors[1].signature.tolist() == [1, 4, 8, 3]


def test_shapes_that_are_open_stay_open():
    found = [[1, 8, 8, 3], [1, 4, 8, 3]]
    batch = Graph(([1, 8, 8, 3], [-1, 8, 8, 3]), ([1, 4, 8, 3], [-1, 4, 8, 3]))
    other = Graph(([1, 8, 8, 3], None), ([1, 1, 1, 3], [-1, -1, -1, 3]))
    for graph in (batch, other):
        assert not tflite_worker._close(graph, found)
        assert graph.tensors[1].signature.min() == -1


def test_it_imports_nothing_of_edgecv():
    assert "edgecv_cli" not in Path(tflite_worker.__file__).read_text().replace("`edgecv", "")


def test_what_decides_a_files_content_is_fixed():
    versions = tflite_convert.converter_versions()
    assert set(versions) == set(tflite_convert.DECIDING)
    assert all(versions.values())
