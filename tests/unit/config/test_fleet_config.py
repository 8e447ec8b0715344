"""Fleets from YAML: what is taken, and everything that must never reach ssh."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecv_cli.config.benchmark import BenchmarkConfig
from edgecv_cli.config.fleet import Device, SshAddress, read_fleet
from edgecv_cli.core.errors import ConfigError, UsageError


@pytest.fixture
def fleet(tmp_path):
    def write(text):
        path = tmp_path / "fleet.yaml"
        path.write_text(f"devices:\n{text}")
        return path

    return write


def test_three_doors_are_read(fleet, tmp_path):
    devices = read_fleet(
        fleet(
            "- {name: orin, labels: [jetson, lab], ssh: 'me@10.0.0.5:2222', identity: keys/id}\n"
            "- {name: pi, dask: 'tcp://127.0.0.1:8786', worker: pi-5, engine: [openvino]}\n"
            "- {name: here, local: true, threads: 1, affinity: 0-1}\n"
        )
    )

    orin, pi, here = devices
    assert SshAddress.parse(orin.ssh).destination == "me@10.0.0.5"
    assert SshAddress.parse(orin.ssh).port == 2222
    assert orin.identity == tmp_path / "keys" / "id"  # relative to the file
    assert (pi.worker, pi.engine) == ("pi-5", ("openvino",))
    assert (here.threads, here.affinity) == (1, (0, 1))


def test_labels_pick_the_devices_that_have_them_all(fleet):
    file = fleet(
        "- {name: a, local: true, labels: [jetson, lab]}\n"
        "- {name: b, local: true, labels: [jetson]}\n- {name: c, local: true}\n"
    )

    assert [device.name for device in read_fleet(file)] == ["a", "b", "c"]
    assert [device.name for device in read_fleet(file, ["jetson"])] == ["a", "b"]
    assert [device.name for device in read_fleet(file, ["lab", "jetson"])] == ["a"]
    with pytest.raises(ConfigError, match="no device is labelled pi") as refused:
        read_fleet(file, ["pi"])
    assert "jetson, lab" in refused.value.remedy


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- {name: a, local: true, pasword: x}", "device a: unknown setting pasword"),
        ("- {name: a}", "none of ssh, dask and local"),
        ("- {name: a, local: true, ssh: b}", "ssh and local"),
        ("- {name: a, local: false}", "device a: local"),
        ("- {name: a, local: true}\n- {name: a, ssh: b}", "two devices are called a"),
        ("- {name: 'a b', local: true}", "name"),
        ("- {name: ../a, local: true}", "name"),
        ("- {local: true}", "device 1: name is missing"),
        ("- nothing", "device 1 holds no settings"),
        ("- {name: a, ssh: '-oProxyCommand=sh'}", "write USER@HOST"),
        ("- {name: a, ssh: 'root@-oProxyCommand=sh'}", "write USER@HOST"),
        ("- {name: a, ssh: 'a b'}", "write USER@HOST"),
        ("- {name: a, ssh: 'a;reboot'}", "write USER@HOST"),
        ("- {name: a, ssh: 'a:0'}", "write USER@HOST"),
        ("- {name: a, ssh: 'a:65536'}", "write USER@HOST"),
        ("- {name: a, ssh: b, jump: '-J x'}", "write USER@HOST"),
        ("- {name: a, ssh: b, python: '-c'}", "path of the device's Python"),
        ("- {name: a, ssh: b, python: \"py\\nreboot\"}", "path of the device's Python"),
        ("- {name: a, ssh: b, identity: 'a\"b'}", "quotes"),
        ("- {name: a, local: true, identity: k}", "identity is for ssh alone"),
        ("- {name: a, ssh: b, worker: w}", "worker is for dask alone"),
        ("- {name: a, dask: 'tcp://127.0.0.1:1', python: p}", "python is for ssh and local alone"),
        ("- {name: a, dask: 'tcp://10.0.0.5:8786'}", "is unencrypted"),
        ("- {name: a, dask: 'tcp://localhost.evil:8786'}", "is unencrypted"),
        ("- {name: a, dask: 'tls://10.0.0.5:8786', ca: c}", "cert, key is missing"),
        ("- {name: a, dask: 'http://10.0.0.5:8786'}", "write tls://HOST:PORT"),
        ("- {name: a, dask: 'tls://10.0.0.5'}", "write tls://HOST:PORT"),
        ("- {name: a, dask: 'tls://10.0.0.5:99999'}", "write tls://HOST:PORT"),
        ("- {name: a, local: true, connect_timeout: 0}", "connect_timeout"),
        ("  []", "devices"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_or_is_not_safe_is_refused(fleet, text, problem):
    with pytest.raises(ConfigError, match=r"fleet\.yaml") as refused:
        read_fleet(fleet(text))
    assert problem in refused.value.problem


def test_a_fleet_of_too_many_devices_is_refused(fleet):
    with pytest.raises(ConfigError, match="devices"):
        read_fleet(fleet("".join(f"- {{name: d{n}, local: true}}\n" for n in range(257))))


@given(st.text(max_size=40))
def test_no_text_becomes_an_option_or_a_command(text):
    try:
        device = Device(name="a", ssh=text)
    except ValueError:
        return
    address = SshAddress.parse(device.ssh)
    assert address.host[0].isalnum() or address.host[0] == ":"
    assert not set(address.destination) & set(" \t\n;&|<>$`'\"\\()*?#~=%!{}")
    assert not address.destination.startswith("-")


def test_labels_without_devices_are_refused():
    with pytest.raises(UsageError, match="there are none"):
        BenchmarkConfig(models=("m.onnx",), label=("jetson",))
