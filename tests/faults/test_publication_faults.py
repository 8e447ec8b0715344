"""A full disk, a forbidden folder and a killed process leave nothing half written."""

import errno
import fcntl
import os
import resource
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from edgecv_cli.core.errors import OutputError
from edgecv_cli.core.files import Publication

ROOT = Path(__file__).resolve().parents[2]


def python(script, *args, **options):
    """Start a Python process that runs ``script`` against this checkout."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, args)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"can't mount a small tmpfs: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def write_too_much(target):
    with Publication(target) as out:
        out.main.write_bytes(bytes(200_000))
        out.commit()


def test_a_full_disk_is_said_in_words_and_leaves_nothing(small_disk):
    with pytest.raises(OutputError) as caught:
        write_too_much(small_disk / "model.onnx")
    assert "No space left on device" in caught.value.problem
    assert str(small_disk / "model.onnx") in caught.value.problem
    assert list(small_disk.iterdir()) == []


def test_a_full_disk_keeps_the_old_file(small_disk):
    (small_disk / "model.onnx").write_bytes(b"old")
    with pytest.raises(OutputError), Publication(small_disk / "model.onnx", force=True) as out:
        out.main.write_bytes(bytes(200_000))
    assert [path.name for path in small_disk.iterdir()] == ["model.onnx"]
    assert (small_disk / "model.onnx").read_bytes() == b"old"


def test_a_disk_without_room_for_a_folder_says_so(small_disk):
    # One inode is left at most: the scratch folder itself can't be made.
    subprocess.run(["mount", "-o", "remount,nr_inodes=1", str(small_disk)], check=True)
    with pytest.raises(OutputError, match="No space left"):
        write_too_much(small_disk / "model.onnx")


def test_a_file_above_the_allowed_size_is_said_in_words(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OutputError, match="File too large"):
            write_too_much(tmp_path / "model.onnx")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_write_permission_is_named():
    # Not tmp_path: its parents are closed to the user that root turns into.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        process = python(
            """
            import os, sys
            from pathlib import Path
            from edgecv_cli.core.errors import OutputError
            from edgecv_cli.core.files import Publication
            if os.getuid() == 0:  # whom permissions don't bind
                os.setuid(65534)
            try:
                Publication(Path(sys.argv[1]) / "model.onnx")
            except OutputError as error:
                print(error.problem)
            """,
            folder,
            env={"PATH": os.environ["PATH"]},
        )
        out, err = process.communicate(timeout=60)
        assert err == ""
        assert f"no permission to write in the folder {folder}" in out
        assert list(Path(folder).iterdir()) == []


def test_a_killed_process_leaves_no_target_and_is_swept(tmp_path):
    target = tmp_path / "model.onnx"
    process = python(
        """
        import sys, time
        from pathlib import Path
        from edgecv_cli.core.files import Publication
        with Publication(Path(sys.argv[1])) as out:
            out.main.write_bytes(bytes(1000))
            print("ready", flush=True)
            time.sleep(600)
        """,
        target,
    )
    assert process.stdout.readline() == "ready\n"
    (scratch,) = tmp_path.iterdir()
    with Publication(target) as other:
        # The first is alive, so the second must not sweep it.
        assert scratch.exists()
        other.main.write_bytes(b"other")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert [path.name for path in tmp_path.iterdir()] == [scratch.name]
    with Publication(target) as out:
        assert not scratch.exists()
        out.main.write_bytes(b"new")
        out.commit()
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_without_locks_nothing_is_swept_and_everything_else_works(tmp_path, monkeypatch):
    def refuse(descriptor, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    (tmp_path / ".x.1234.edgecv-tmp").mkdir()
    with Publication(tmp_path / "model.onnx") as out:
        out.main.write_bytes(b"x")
        out.commit()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [".x.1234.edgecv-tmp", "model.onnx"]


def test_only_scratch_folders_are_swept(tmp_path):
    (tmp_path / ".model.onnx.1234.edgecv-tmp").write_text("a file of that name")
    (tmp_path / ".other").mkdir()
    (tmp_path / "precious").mkdir()
    (tmp_path / ".x.edgecv-tmp").symlink_to(tmp_path / "precious")
    before = sorted(tmp_path.iterdir())
    with Publication(tmp_path / "model.onnx"):
        pass
    assert sorted(tmp_path.iterdir()) == before


def test_a_move_that_fails_takes_the_parts_back(tmp_path):
    with Publication(tmp_path / "model.onnx", force=True) as out:
        out.part("model.json").write_text("{}")
        out.main.write_bytes(b"x")
        (tmp_path / "model.onnx").mkdir()  # someone is faster
        with pytest.raises(OutputError):
            out.commit()
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert list((tmp_path / "model.onnx").iterdir()) == []
