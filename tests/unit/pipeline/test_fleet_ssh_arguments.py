"""What ssh is started with, and what its refusals are called."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecv_cli.config.fleet import Device
from edgecv_cli.core.version import __version__
from edgecv_cli.pipeline.fleet.ssh import explain, ssh_arguments

PI = Device(name="pi", ssh="pi@pi5.lan:2222", python="~/venv/bin/python")
PATHS = st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=20)


def settings(argv):
    """Return ssh's ``-o`` settings."""
    pairs = [argv[place + 1] for place, word in enumerate(argv) if word == "-o"]
    return dict(pair.split("=", 1) for pair in pairs)


def test_nobody_is_asked_and_host_keys_are_checked():
    argv = ssh_arguments(PI)

    found = settings(argv)
    assert (found["BatchMode"], found["StrictHostKeyChecking"]) == ("yes", "yes")
    assert found["ClearAllForwardings"] == "yes"
    assert found["PermitLocalCommand"] == "no"
    assert "UserKnownHostsFile" not in found
    assert argv[argv.index("--") + 1 :] == [
        "pi@pi5.lan",
        "exec venv/bin/python -P -m edgecv_cli._fleet_worker",  # ssh starts in the home folder
    ]
    assert argv[argv.index("-p") + 1] == "2222"


@given(PATHS)
def test_the_devices_shell_sees_the_path_as_one_word(path):
    try:
        device = Device(name="a", ssh="b", python=path)
    except ValueError:
        return
    command = ssh_arguments(device)[-1]
    path = path.removeprefix("~/")
    assert shlex.split(command) == ["exec", path, "-P", "-m", "edgecv_cli._fleet_worker"]


def test_files_are_quoted_for_ssh(tmp_path):
    device = Device(name="a", ssh="b", identity=tmp_path / "my 100% key", known_hosts=tmp_path)
    found = settings(ssh_arguments(device))
    assert found["IdentityFile"] == f'"{tmp_path}/my 100%% key"'
    assert found["IdentitiesOnly"] == "yes"
    assert found["UserKnownHostsFile"] == f'"{tmp_path}"'


def test_a_jump_host_is_checked_the_same_way(tmp_path):
    device = Device(name="a", ssh="b", jump="me@gate:2200", known_hosts=tmp_path / "a b")
    argv = shlex.split(settings(ssh_arguments(device))["ProxyCommand"].replace("%%", "%"))

    assert argv[0] == "ssh"
    assert settings(argv)["StrictHostKeyChecking"] == "yes"
    assert settings(argv)["UserKnownHostsFile"] == f'"{tmp_path}/a b"'
    assert argv[argv.index("-p") + 1] == "2200"
    assert argv[-4:] == ["-W", "[%h]:%p", "--", "me@gate"]


@pytest.mark.parametrize(
    ("said", "status", "problem", "remedy"),
    [
        ("Host key verification failed.", 255, "key is not known", "ssh -p 2222 pi@pi5.lan"),
        (
            "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
            255,
            "not the one that is known",
            "ssh-keygen -R '[pi5.lan]:2222'",
        ),
        ("pi@pi5.lan: Permission denied (publickey).", 255, "nobody in", "ssh-copy-id -p 2222 pi@"),
        ("connect to host x port 22: Connection refused", 255, "refuses", "sshd"),
        ("Could not resolve hostname x: Name or service not known", 255, "no machine", "IP"),
        ("connect to host x port 22: Connection timed out", 255, "can't be reached", "ping"),
        (
            "/usr/bin/python: No module named edgecv_cli",
            1,
            "edgecv is not installed",
            f"~/venv/bin/python -m pip install edgecv=={__version__}",
        ),
        ("ModuleNotFoundError: No module named 'numpy'", 1, "lacks the module numpy", "pip"),
        ("Unknown option: -P\nusage: python3", 2, "older than 3.11", "3.11"),
        ("bash: line 1: /x/python: No such file or directory", 127, "it has no", "python:"),
    ],
)
def test_refusals_are_put_into_words(said, status, problem, remedy):
    found = explain(PI, f"some banner\n{said}", status)
    assert found is not None
    assert problem in found[0]
    assert remedy in found[1]


def test_words_that_are_not_known_are_left_as_they_are():
    assert explain(PI, "kex_exchange_identification: ...", 255) is None
    assert explain(PI, "", 1) is None
