from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from edgecv_cli.config.base import CommonConfig, Config, Flag
from edgecv_cli.core.errors import ConfigError


class Bake(CommonConfig):
    cake: Annotated[Path, Flag(positional=True)] = Field(description="Cake.")
    oven: Annotated[Path, Flag("-o", "--oven", metavar="OVEN")] = Field(description="Oven.")
    bake_minutes: int = Field(30, ge=1, description="Minutes.")
    shelf: Path | None = Field(None, description="Shelf.")
    hot: bool = Field(False, description="Hot.")


def refused(**options: object) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        Bake.from_options(**options)
    return caught.value


def test_options_that_were_not_given_keep_the_defaults():
    config = Bake.from_options(cake="c", oven="o", bake_minutes=None, threads=None, shelf=None)
    assert (config.bake_minutes, config.threads, config.seed) == (30, None, 0)


def test_text_from_the_command_line_becomes_typed():
    config = Bake.from_options(cake="c", oven="o", bake_minutes="45", threads="2")
    assert (config.cake, config.bake_minutes, config.threads) == (Path("c"), 45, 2)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        pytest.param({"bake_minutes": "long"}, "--bake-minutes: should be", id="not a number"),
        pytest.param({"bake_minutes": "0"}, "--bake-minutes: should be", id="out of range"),
        pytest.param({"threads": "-1"}, "--threads: should be", id="inherited option"),
    ],
)
def test_a_wrong_value_is_named_with_its_option(options, problem):
    error = refused(cake="c", oven="o", **options)
    assert error.problem.startswith(problem)
    assert repr(next(iter(options.values()))) in error.problem
    assert "\n" not in str(error)


def test_a_missing_option_is_named_as_it_is_typed():
    error = refused(cake="c")
    assert (error.problem, error.remedy) == ("--oven is missing", "add --oven OVEN")


def test_a_missing_argument_is_named_as_in_the_usage():
    assert refused(oven="o").problem == "CAKE is missing"


def test_configs_are_frozen():
    config = Bake.from_options(cake="c", oven="o")
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 3


def test_numbers_must_be_finite():
    class Scale(Config):
        factor: float = Field(1.0, description="Factor.")

    with pytest.raises(ConfigError, match="finite"):
        Scale.from_options(factor="nan")


class TestFromFile:
    def write(self, folder: Path, text: str) -> Path:
        file = folder / "settings.yaml"
        file.write_text(text, encoding="utf-8")
        return file

    def test_reads_keys_and_takes_paths_relative_to_the_file(self, tmp_path):
        file = self.write(tmp_path, "oven: stove\nbake_minutes: 5\nshelf: /top\n")
        config = Bake.from_file(file, cake="c", oven=None, shelf=None)
        assert (config.oven, config.shelf) == (tmp_path / "stove", Path("/top"))
        assert (config.bake_minutes, config.cake) == (5, Path("c"))

    def test_options_win_over_the_file(self, tmp_path):
        file = self.write(tmp_path, "bake_minutes: 5\nhot: true\n")
        config = Bake.from_file(file, cake="c", oven="o", bake_minutes="7", hot=False)
        assert config.bake_minutes == 7
        assert config.hot  # a switch that was not given says nothing

    def test_an_unknown_key_gets_a_near_name(self, tmp_path):
        file = self.write(tmp_path, "bake_minuts: 5\n")
        with pytest.raises(ConfigError, match="unknown setting bake_minuts") as caught:
            Bake.from_file(file, cake="c", oven="o")
        assert caught.value.remedy == "write bake_minutes"
        assert str(file) in caught.value.problem

    def test_an_unknown_key_without_a_near_name_lists_all(self, tmp_path):
        file = self.write(tmp_path, "zzz: 5\n")
        with pytest.raises(ConfigError) as caught:
            Bake.from_file(file, cake="c", oven="o")
        assert "bake_minutes" in caught.value.remedy

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            pytest.param("- 1\n- 2\n", "holds no settings", id="a list"),
            pytest.param("", "holds no settings", id="empty"),
            pytest.param("1: 2\n", "holds no settings", id="key is a number"),
            pytest.param("oven: [1\n", "is not valid YAML, line", id="broken"),
            pytest.param("oven: !!python/object/apply:os.getcwd []\n", "not valid", id="code"),
            pytest.param("bake_minutes: long\n", "bake_minutes: should be", id="wrong type"),
            pytest.param("a: [{b: 1, b: 2}]\n", "line 1: b is given twice", id="key twice"),
            pytest.param("a: &x [1]\nb: *x\n", "line 2: an alias", id="alias"),
            pytest.param("a: " + "[" * 17 + "]" * 17, "nests too deep", id="deep"),
            pytest.param("a: " + "[" * 90_000, "nests too deep", id="very deep"),
            pytest.param("bake_minutes: " + "x" * 9999, "bake_minutes: should", id="long value"),
            pytest.param("# " + "x" * (1 << 20), "larger than 1 MiB", id="too large"),
        ],
    )
    def test_bad_files_are_refused_in_words(self, tmp_path, text, problem):
        file = self.write(tmp_path, text)
        with pytest.raises(ConfigError) as caught:
            Bake.from_file(file, cake="c", oven="o")
        assert problem in caught.value.problem
        assert str(file) in caught.value.problem
        assert len(caught.value.problem) < 400

    def test_a_missing_file_is_refused_in_words(self, tmp_path):
        with pytest.raises(ConfigError, match="can't be read: No such file"):
            Bake.from_file(tmp_path / "none.yaml", cake="c", oven="o")

    def test_bytes_that_are_no_text_are_refused(self, tmp_path):
        file = tmp_path / "binary.yaml"
        file.write_bytes(b"\xff\xfe\x00\x80")
        with pytest.raises(ConfigError, match="not valid YAML"):
            Bake.from_file(file, cake="c", oven="o")
