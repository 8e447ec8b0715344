"""A process killed while it puts several files in place: what stands, and what comes next."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgecv_cli.core.errors import OutputExistsError
from edgecv_cli.core.files import Publication, sha256_file
from edgecv_cli.core.unfinished import JOURNAL

ROOT = Path(__file__).resolve().parents[2]

# Every line that is read is a publication that kills itself at a rename; 99: after the last.
DYING = """
import json, os, signal, sys
from pathlib import Path
from edgecv_cli.core.files import Publication
from edgecv_cli.core.scratch import ScratchFolder

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def publish(target, at, files, options):
    left = [at]
    def dying(rename):
        def renamed(path, place):
            left[0] -= 1
            return rename(path, place) if left[0] else die()
        return renamed
    Path.replace, Path.rename = dying(Path.replace), dying(Path.rename)
    ScratchFolder.remove = die
    with Publication(Path(target), **options) as out:
        for name, content in files.items():
            inside = name.startswith("/")
            path = out.folder() / name[1:] if inside else out.part(name) if name else out.main
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)
        out.commit()

for line in sys.stdin:
    child = os.fork()
    if not child:
        publish(*json.loads(line))
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, line
"""
PAIR = {"z.bin": "weights", "a.json": "{}", "": "main"}
TREE = {"/a.txt": "a", "/sub/b.txt": "b", "/sub/c.txt": "c"}


def kill(*publications):
    lines = [json.dumps([str(target), *rest]) for target, *rest in publications]
    done = subprocess.run(
        [sys.executable, "-c", DYING],
        input="\n".join(lines),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def standing(folder):
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(str(path) for path in found if not str(path).startswith("."))


def publish(target, **options):
    with Publication(target, **options) as out:
        for name in ("z.bin", "a.json"):
            out.part(name).write_text("next")
        out.main.write_text("next")
        out.commit()


def everything(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_fresh_output_killed_at_any_rename_is_taken_back_by_the_next_run(tmp_path):
    folders = {at: tmp_path / str(at) for at in (1, 2, 3)}
    for folder in folders.values():
        folder.mkdir()
        (folder / "notes.txt").write_text("mine")

    kill(*[(folder / "m.xml", at, PAIR, {}) for at, folder in folders.items()])

    for at, folder in folders.items():
        # As they were asked for, and what makes them readable last.
        assert standing(folder) == sorted(["notes.txt", *["z.bin", "a.json"][: at - 1]])
        with Publication(folder / "other"):
            assert standing(folder) == ["notes.txt"]
        publish(folder / "m.xml")
        assert everything(folder) == ["a.json", "m.xml", "notes.txt", "z.bin"]


def test_an_output_that_is_whole_stays_though_its_process_never_cleaned_up(tmp_path):
    kill((tmp_path / "m.xml", 99, PAIR, {}))

    with pytest.raises(OutputExistsError):
        Publication(tmp_path / "m.xml")
    assert everything(tmp_path) == ["a.json", "m.xml", "z.bin"]


def test_what_a_user_made_of_what_was_left_is_kept(tmp_path):
    changed, completed = tmp_path / "changed", tmp_path / "completed"
    for folder in (changed, completed):
        folder.mkdir()
    kill(*[(folder / "m.xml", 3, PAIR, {}) for folder in (changed, completed)])
    (changed / "z.bin").write_text("mine")
    (completed / "m.xml").write_text("mine")

    with Publication(changed / "m.xml") as out, pytest.raises(OutputExistsError, match=r"z\.bin"):
        out.part("z.bin")
    with pytest.raises(OutputExistsError, match=r"m\.xml"):
        Publication(completed / "m.xml")

    assert {name: (changed / name).read_text() for name in everything(changed)} == {"z.bin": "mine"}
    assert everything(completed) == ["a.json", "m.xml", "z.bin"]


def test_amid_replacing_files_nothing_is_removed_and_force_makes_them_whole(tmp_path):
    publish(tmp_path / "m.xml")

    kill((tmp_path / "m.xml", 2, PAIR, {"force": True}))
    with pytest.raises(OutputExistsError):
        Publication(tmp_path / "m.xml")

    assert everything(tmp_path) == ["a.json", "m.xml", "z.bin"]
    publish(tmp_path / "m.xml", force=True)
    assert {path.read_text() for path in tmp_path.iterdir()} == {"next"}


def test_a_package_that_was_set_aside_comes_back(tmp_path):
    package = tmp_path / "m.mlpackage"
    package.mkdir()
    (package / "old").write_text("old")

    files = {"z.bin": "weights", "/new": "new"}
    kill((package, 3, files, {"force": True, "whole": True}))

    assert standing(tmp_path) == ["z.bin"]
    with pytest.raises(OutputExistsError):
        Publication(package, whole=True)
    assert standing(tmp_path) == ["m.mlpackage/old"]


def test_an_empty_folder_filled_by_half_is_empty_again(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()

    kill((folder, 3, TREE, {}))

    assert standing(folder) == ["a.txt", "sub/b.txt"]
    with Publication(folder):
        assert standing(folder) == []
        assert not (folder / "sub").exists()


@pytest.mark.parametrize("mode", [0o777, 0o700])
def test_lists_that_others_can_have_written_or_that_lead_out_are_not_believed(tmp_path, mode):
    victim = tmp_path / ("mine.txt" if mode == 0o777 else "out/../mine.txt")
    (tmp_path / "out").mkdir()
    victim.write_text("mine")
    planted = tmp_path / ".m.xml.0badcafe.edgecv-tmp"
    planted.mkdir()
    (planted / "m.xml").write_text("staged")
    name = str(victim.relative_to(tmp_path))
    moves = [
        {"staged": "x", "name": name, "sha256": sha256_file(victim), "fresh": True, "folders": []},
        {"staged": "m.xml", "name": "m.xml", "sha256": "", "fresh": True, "folders": []},
    ]
    (planted / JOURNAL).write_text(json.dumps(moves))
    planted.chmod(mode)

    with Publication(tmp_path / "m.xml"):
        pass

    assert victim.read_text() == "mine"
    assert not planted.exists()


@pytest.mark.parametrize("text", ["", "{}", "[]", "[1]", '[{"staged": 7}]', "\udcff"])
def test_a_broken_list_is_no_obstacle(tmp_path, text):
    left = tmp_path / ".m.xml.0badcafe.edgecv-tmp"
    left.mkdir(mode=0o700)
    (left / JOURNAL).write_bytes(text.encode(errors="surrogateescape"))

    publish(tmp_path / "m.xml")

    assert everything(tmp_path) == ["a.json", "m.xml", "z.bin"]
