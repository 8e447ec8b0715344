import importlib
import shlex

import pytest

from edgecv_cli.cli.main import COMMANDS

SHARED = {"config", "json", "quiet", "verbose"}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_flags_are_the_fields_of_the_config(name):
    command = importlib.import_module(COMMANDS[name][0]).COMMAND
    built = command.build(name)
    assert {parameter.name for parameter in built.params} == {*command.config.model_fields, *SHARED}
    assert not set(command.config.model_fields) & SHARED
    assert built.name == name


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_no_two_flags_share_a_name(name):
    built = importlib.import_module(COMMANDS[name][0]).COMMAND.build(name)
    names = [option for parameter in built.params for option in parameter.opts]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"demo"}))
def test_common_options_are_taken_everywhere(name):
    command = importlib.import_module(COMMANDS[name][0]).COMMAND
    assert {"spec", "threads", "seed"} <= set(command.config.model_fields)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_examples_are_understood_by_the_parser(name):
    command = importlib.import_module(COMMANDS[name][0]).COMMAND
    for example in command.examples:
        words = shlex.split(example)
        assert words[:2] == ["edgecv", name]
        given = command.build(name).make_context(name, words[2:]).params
        for shared in SHARED:
            given.pop(shared)
        assert command.config.from_options(**given)
