"""Jobs are data: a registered name, settings without paths, and results in the user's words."""

from __future__ import annotations

import hashlib

import pytest
from fleet_worker import MadeUp

from edgecv_cli.config.benchmark import BenchmarkConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import ConfigError, EngineError, UsageError
from edgecv_cli.pipeline.fleet.blobs import Blobs
from edgecv_cli.pipeline.fleet.functions import FUNCTIONS, JobFunction, run_job
from edgecv_cli.pipeline.fleet.job import FileRef, Job, Parcel


@pytest.fixture
def blobs(tmp_path):
    return Blobs(tmp_path / "files")


def parcel(blobs, content, shown, field="models"):
    digest = hashlib.sha256(content).hexdigest()
    with blobs.receive(digest, len(content)) as incoming:
        incoming.write(content)
        incoming.commit()
    name = shown.rpartition("/")[2]
    file = FileRef(name=name, sha256=digest, size_bytes=len(content))
    return Parcel(field=field, shown=shown, files=(file,))


def do(blobs, job, run=lambda config, context: MadeUp(config)):
    functions = (JobFunction("benchmark", BenchmarkConfig, run),)
    return run_job(job, blobs, Context(), functions)


def test_files_stand_where_the_device_decides_and_are_shown_as_the_user_wrote(blobs):
    seen = []
    job = Job(
        function="benchmark",
        arguments={"threads": 3, "engine": ["openvino"], "seed": 5},
        parcels=(
            parcel(blobs, b"one", 'a/größe "1".onnx'),
            parcel(blobs, b"two two", 'b/größe "1".onnx'),
            parcel(blobs, b"{}", "my spec.yaml", field="spec"),
        ),
    )

    def run(config, context):
        seen.append((config, context.seed, [path.read_bytes() for path in config.models]))
        return MadeUp(config)

    result = do(blobs, job, run)

    config, seed, contents = seen[0]
    assert contents == [b"one", b"two two"]
    assert (config.threads, config.engine, seed) == (3, ("openvino",), 5)
    assert config.spec.name == "my spec.yaml"
    assert [row["model"] for row in result["runs"]] == ['a/größe "1".onnx', 'b/größe "1".onnx']
    assert result["warnings"] == ['a/größe "1".onnx is made up']
    assert not list(blobs.scratch.iterdir())


def test_failures_are_in_the_users_words_too(blobs):
    def run(config, context):
        raise EngineError(f"'{config.models[0]}' can't run", remedy=f"look at {config.models[0]}")

    job = Job(function="benchmark", arguments={}, parcels=(parcel(blobs, b"one", "a/m.onnx"),))
    with pytest.raises(EngineError, match=r"^'a/m\.onnx' can't run \(look at a/m\.onnx\)$"):
        do(blobs, job, run)


@pytest.mark.parametrize("name", ["os.system", "", "quantize", "edgecv_cli.stages.benchmark"])
def test_only_registered_functions_can_be_named(blobs, name):
    with pytest.raises(UsageError, match="can't do"):
        do(blobs, Job(function=name, arguments={}))
    assert [one.name for one in FUNCTIONS] == ["benchmark"]


@pytest.mark.parametrize(
    "field", ["models", "data", "spec", "report", "md", "csv", "junit", "compare", "devices"]
)
def test_a_job_names_no_path(blobs, field):
    with pytest.raises(UsageError, match=f"can't say where {field} stands"):
        do(blobs, Job(function="benchmark", arguments={field: "/etc/passwd"}))


@pytest.mark.parametrize("field", ["report", "threads", "nonsense"])
def test_files_go_to_inputs_alone(blobs, field):
    job = Job(
        function="benchmark",
        arguments={},
        parcels=(parcel(blobs, b"one", "m.onnx"), parcel(blobs, b"x", "x", field=field)),
    )
    with pytest.raises(UsageError, match="takes no file"):
        do(blobs, job)


def test_settings_are_checked_again(blobs):
    job = Job(
        function="benchmark",
        arguments={"threads": -1},
        parcels=(parcel(blobs, b"one", "m.onnx"),),
    )
    with pytest.raises(ConfigError, match="the job: threads"):
        do(blobs, job)
