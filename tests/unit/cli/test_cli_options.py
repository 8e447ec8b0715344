import inspect
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field
from typer.models import ArgumentInfo, OptionInfo

from edgecv_cli.cli.options import signature
from edgecv_cli.config.base import Config, DatasetPath, Flag
from edgecv_cli.config.common import ImageSize


class Everything(Config):
    switch: bool = Field(False, description="Switch.")
    count: int = Field(3, description="Count.")
    mode: Annotated[Literal["soft", "hard"], Flag(panel="Modes")] = Field("soft", description="M.")
    long_mode: Literal["a-rather-long-choice", "another-rather-long-choice"] = Field(
        "a-rather-long-choice", description="Long."
    )
    size: Annotated[ImageSize | None, Flag(metavar="HxW")] = Field(None, description="Size.")
    out: Annotated[Path, Flag("-o", "--output", metavar="FILE")] = Field(description="Out.")
    names: tuple[str, ...] = Field(("x", "y"), description="Names.")
    data: DatasetPath | None = Field(None, description="Data.")
    sources: Annotated[tuple[str, ...], Flag(positional=True, metavar="SOURCE...")] = Field(
        description="Sources."
    )


PARAMETERS = signature(Everything).parameters


def given(name: str) -> tuple[type, OptionInfo | ArgumentInfo]:
    kind, mark = PARAMETERS[name].annotation.__origin__, PARAMETERS[name].annotation.__metadata__[0]
    return kind, mark


def test_every_field_is_a_flag_and_arguments_come_first():
    assert set(PARAMETERS) == set(Everything.model_fields)
    assert next(iter(PARAMETERS)) == "sources"
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in PARAMETERS.values())


@pytest.mark.parametrize(
    ("field", "kind", "names", "metavar", "help_text"),
    [
        ("switch", bool, "--switch", None, "Switch."),
        ("count", str, "--count", "N", "Count. [default: 3]"),
        ("mode", str, "--mode", "soft|hard", "M. [default: soft]"),
        ("size", str, "--size", "HxW", "Size."),
        ("out", str, "-o --output", "FILE", "Out. [required]"),
        ("names", list[str], "--names", "TEXT", "Names. [default: x, y]"),
        ("data", str, "--data", "PATH", "Data."),
    ],
)
def test_what_a_flag_looks_like(field, kind, names, metavar, help_text):
    got, mark = given(field)
    assert got == kind
    assert " ".join((mark.default, *(mark.param_decls or ()))) == names
    assert (mark.metavar, mark.help) == (metavar, help_text)


def test_many_long_choices_move_into_the_help():
    _, mark = given("long_mode")
    assert mark.metavar == "LONG_MODE"
    assert "One of: a-rather-long-choice, another-rather-long-choice." in mark.help


def test_choices_complete_in_the_shell():
    _, mark = given("mode")
    assert mark.autocompletion() == ["soft", "hard"]


def test_panels_are_kept():
    assert given("mode")[1].rich_help_panel == "Modes"


def test_a_required_argument_is_one():
    kind, mark = given("sources")
    assert kind == list[str]
    assert isinstance(mark, ArgumentInfo)
    assert mark.metavar == "SOURCE"
    assert PARAMETERS["sources"].default is ...
