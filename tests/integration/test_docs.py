"""What the pages under docs/ say to type works as written, and prints what they show.

``sh`` blocks are run in the order of the page, in a folder that holds what docs/README.md says;
``yaml`` and ``python`` blocks whose first line is ``# name.yaml`` are that file. A ``text`` block
is the output of the commands above it, compared but for numbers; ``log`` is output that differs
between machines and is not compared, and ``console`` is not run. Pages that add to the package
(``diff`` blocks) are followed on a copy of it.
"""

from __future__ import annotations

import ast
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ROOT
from documents import Block, blocks, command_lines, headings, links, masked, shown_lines

from edgecv_cli.cli.main import COMMANDS, run
from edgecv_cli.cli.reference import reference
from edgecv_cli.detector.heads import HEADS
from edgecv_cli.detector.spec import DetectorSpec, InputSpec, OutputTensor

DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *(DOCS / "guides").glob("*.md"), *(DOCS / "adr").glob("*.md")])
# by test_scripting_guides.py, and by test_packaging.py, which runs the whole demo
TESTED_ELSEWHERE = {"json.md", "ci.md", "demo.md"}
RUN = [
    page
    for page in PAGES
    if page.name not in TESTED_ELSEWHERE and "```sh\n" in page.read_text(encoding="utf-8")
]
QUICK = (
    "--placement", "last", "--estimator", "minmax", "--bias-correction", "off",
    "--adaptive-rounding", "off", "--equalisation", "off",
)  # fmt: skip
# Images that a gate of 1 % needs: eight lose 1.2 % by chance where twenty-four lose 0.3 %.
ENOUGH = 24
SLOW = {"quantize.md", "benchmark.md", "add-an-engine.md"}


def named(page):
    return str(page.relative_to(DOCS))


def text_of(page):
    return page.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def pantry(tmp_path_factory):
    """The built-in detector with some of its images, under the names that the pages use."""
    folder = tmp_path_factory.mktemp("pantry")
    source = ROOT / "calibration_data"
    shutil.copy(source / "builtin_detector.onnx", folder / "model.onnx")
    (folder / "images").mkdir()
    (folder / "photos").mkdir()
    for index in range(8):
        shutil.copy(source / "calibration" / "images" / f"{index:04}.jpg", folder / "images")
    for index in range(3):
        shutil.copy(source / "validation" / "images" / f"{index:04}.jpg", folder / "photos")
    shutil.copytree(source / "validation", folder / "coco")
    return folder


@pytest.fixture
def workplace(pantry, tmp_path, monkeypatch):
    """A folder of its own to type in; what is written there touches nothing else."""
    folder = tmp_path / "work"
    shutil.copytree(pantry, folder, copy_function=os.link)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(folder))
    return folder


class Typist:
    """Types a page's commands and keeps what they print."""

    def __init__(self, capfd):
        self.capfd, self.printed = capfd, []

    def block(self, block: Block):
        if block.changes:
            file = Path(block.changes)
            file.write_text(block.changed(file.read_text(encoding="utf-8")), encoding="utf-8")
        elif block.file:
            Path(block.file).write_text(hastened(block), encoding="utf-8")
        elif block.language == "sh":
            self.printed = []
            for line in command_lines(block):
                self.type(line)
        elif block.language == "text":
            said = " ".join(self.printed)
            for piece in shown_lines(block):
                assert piece in said, piece

    def type(self, line):
        program, *args = line.words
        code = {"edgecv": self.edgecv, "python": self.python}[program](args)
        printed = "\n".join(self.capfd.readouterr())
        assert code == line.code, (line.words, printed)
        self.printed += [masked(text) for text in printed.splitlines()]

    def edgecv(self, args):
        if args[0] in ("quantize", "benchmark", "evaluate") and "coco/" in args:
            args = [*args, *([] if "--limit" in args else ["--limit", str(ENOUGH)])]
        if args[0] == "quantize":
            args = [*args, *(QUICK if "--placement" not in args else QUICK[2:])]
            args += ["--speed-seconds", "0.1"]
            args += [] if "--min-speedup" in args else ["--min-speedup", "0"]
        if args[0] == "benchmark":
            args = [*args, "--duration", "0.1"]
        args = [*args, "--threads", "1"]
        if "--json" in args:  # takes descriptor 1 for the rest of its process
            return python_apart(["-m", "edgecv_cli", *args], ROOT)
        return run(args)

    @staticmethod
    def python(args):
        sys.modules.pop(args[0].removesuffix(".py"), None)
        runpy.run_path(args[0], run_name="__main__")
        return 0


class Developer(Typist):
    """Types in a folder that holds a package of its own, in a process for each line."""

    def edgecv(self, args):
        return self.python(["-m", "edgecv_cli", *args])

    def python(self, args):
        quick = ["-k", "declared or definition or device", "-p", "no:cacheprovider"]
        args = [*args, *(quick if "pytest" in args else [])]
        return python_apart(args, Path.cwd())


def python_apart(args, package):
    """Run Python with the package that lies in a folder; returns its exit code."""
    path = os.pathsep.join([str(package), str(ROOT / "tests")])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, *args], env=environment, timeout=120, check=False)
    return done.returncode


def hastened(block):
    """Return a file's text, where it is a pipeline with the settings that take least time."""
    quick = (
        "placement: last\n    estimator: minmax\n    bias_correction: off\n"
        "    adaptive_rounding: off\n    equalisation: off\n    speed_seconds: 0.1"
    )
    text = re.sub(r"(stage: quantize)\n", rf"\1\n    {quick}\n", block.text)
    return re.sub(r"(stage: (?:quantize|evaluate))\n", rf"\1\n    limit: {ENOUGH}\n", text)


@pytest.mark.parametrize(
    "page",
    [pytest.param(p, marks=[pytest.mark.slow] * (p.name in SLOW), id=named(p)) for p in RUN],
)
def test_the_commands_of_a_page_do_what_it_shows(page, workplace, capfd):
    written = blocks(text_of(page))
    typist = Typist(capfd)
    if any(block.changes for block in written):
        leave_out = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "edgecv_cli", workplace / "edgecv_cli", ignore=leave_out)
        typist = Developer(capfd)
    for block in written:
        typist.block(block)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page):
    for target in links(text_of(page)):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in headings(file), target


def test_every_page_is_in_the_index():
    index = DOCS / "README.md"
    linked = {(DOCS / link.partition("#")[0]).resolve() for link in links(text_of(index))}
    assert {page for page in PAGES if page != index} <= linked


def test_every_command_has_a_guide():
    assert set(COMMANDS) <= {page.stem for page in (DOCS / "guides").glob("*.md")}


def test_blocks_are_of_known_kinds():
    kinds = {"sh", "text", "log", "yaml", "python", "console", "diff", "json", "bash"}
    for page in PAGES:
        assert {block.language for block in blocks(text_of(page))} <= kinds, page


def test_the_reference_of_options_is_current():
    assert text_of(DOCS / "options.md") == reference()


def templates():
    """Return every text of the package, with a gap where a value is put in."""
    found = []
    for file in (ROOT / "edgecv_cli").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [p.value if isinstance(p, ast.Constant) else "\0" for p in node.values]
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def quoted_messages():
    rows = re.findall(r"^\| `([^`]+)` \|", text_of(DOCS / "troubleshooting.md"), re.MULTILINE)
    assert len(rows) > 50
    return rows


def test_messages_are_quoted_as_they_are():
    said = templates()
    for message in quoted_messages():
        parts = [re.escape(part) for part in message.split("...")]
        assert re.search("[^\n]*".join(parts), said), message


def test_every_key_of_a_spec_is_described():
    page = text_of(DOCS / "spec.md")
    for model in (DetectorSpec, InputSpec, OutputTensor):
        for key in set(model.model_fields) - {"version"}:
            assert re.search(rf"`(?:\w+`, `)*{key}`|\b{key}: ", page), key


def pixels(image):
    """Write what becomes of a pixel, as the table of families does."""

    def numbers(values):
        return ", ".join(f"{value:g}" for value in dict.fromkeys(values))

    words = f"/ {image.scale:g}" if image.scale != 1 else "0..255"
    words += f" - ({numbers(image.mean)})" if any(image.mean) else ""
    return words + (f" / ({numbers(image.std)})" if set(image.std) != {1.0} else "")


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.family)
def test_the_families_are_as_described(head):
    page, image = text_of(DOCS / "families.md"), head.defaults.input
    resize = image.resize + ("" if image.resize == "stretch" else f", {image.pad}")
    threshold = f"{head.defaults.score_threshold:g}"
    cells = [f"`{head.family}`", image.color, pixels(image), resize, threshold]
    assert f"| {' | '.join(cells)} |" in page
    assert page.count(f"| `{head.family}` |") == 2


def test_every_spec_file_is_in_the_page_of_families():
    page = text_of(DOCS / "families.md")
    for file in (ROOT / "configs" / "specs").iterdir():
        assert f"configs/specs/{file.name})" in page, file.name
