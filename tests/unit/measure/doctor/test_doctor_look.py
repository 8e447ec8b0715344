"""What doctor sees: folders that stand in for the kernel's files and for site-packages."""

from __future__ import annotations

import pytest

from edgecv_cli.core.errors import MissingDependencyError
from edgecv_cli.measure.doctor import host, packages
from edgecv_cli.measure.doctor.accelerators import accelerators


def put(root, **files):
    """Write files; ``__`` in a name is a slash."""
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def seen(root, *, may_open=True):
    return [(one.kind, one.name, one.driver, one.usable) for one in accelerators(
        root, lambda path: may_open)]  # fmt: skip


class TestAccelerators:
    def test_an_empty_machine_has_none(self, tmp_path):
        assert accelerators(tmp_path) == ()

    def test_nvidia_cards_have_their_names_and_their_driver(self, tmp_path):
        put(tmp_path, dev__nvidia0="", dev__nvidiactl="")
        version = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  560.35.03  Release"
        put(tmp_path, proc__driver__nvidia__version=version)
        info = "Model: \t\t Tesla T4\nIRQ: 7\n"
        put(tmp_path / "proc/driver/nvidia/gpus/0000:00:04.0", information=info)
        assert seen(tmp_path) == [("nvidia-gpu", "Tesla T4", "560.35.03", True)]
        assert not seen(tmp_path, may_open=False)[0][-1]

    def test_an_nvidia_card_without_its_driver_is_seen_on_the_bus(self, tmp_path):
        bus = tmp_path / "sys/bus/pci/devices"
        put(bus / "0000:01:00.0", vendor="0x10de\n", **{"class": "0x030200\n"})
        put(bus / "0000:01:00.1", vendor="0x10de\n", **{"class": "0x040300\n"})  # its sound
        assert seen(tmp_path) == [("nvidia-gpu", "NVIDIA GPU", None, False)]

    @pytest.mark.parametrize(
        ("vendor", "expected"),
        [
            ("0x8086", [("intel-gpu", "Intel GPU", None, True)]),
            ("0x1002", [("amd-gpu", "AMD GPU", None, True)]),
            ("0x1af4", []),  # a virtual machine's
        ],
    )
    def test_render_nodes_are_told_by_their_vendor(self, tmp_path, vendor, expected):
        put(tmp_path, dev__dri__renderD128="")
        put(tmp_path / "sys/class/drm/renderD128/device", vendor=f"{vendor}\n")
        assert seen(tmp_path) == expected

    def test_an_intel_npu(self, tmp_path):
        put(tmp_path, dev__accel__accel0="")
        put(tmp_path / "sys/class/accel/accel0/device", vendor="0x8086\n")
        assert seen(tmp_path) == [("intel-npu", "Intel NPU", None, True)]

    @pytest.mark.parametrize("ids", [("1a6e", "089a"), ("18d1", "9302")])
    def test_a_coral_on_usb(self, tmp_path, ids):
        put(tmp_path / "sys/bus/usb/devices/1-1", idVendor=f"{ids[0]}\n", idProduct=f"{ids[1]}\n")
        put(tmp_path / "sys/bus/usb/devices/1-2", idVendor="18d1\n", idProduct="4ee7\n")
        assert seen(tmp_path) == [("edge-tpu", "Coral Edge TPU (USB)", None, True)]

    def test_device_files_of_coral_and_hailo(self, tmp_path):
        put(tmp_path, dev__apex_0="", dev__hailo0="")
        assert [kind for kind, *_ in seen(tmp_path)] == ["edge-tpu", "hailo"]

    def test_a_jetson_tells_its_release(self, tmp_path):
        put(tmp_path, etc__nv_tegra_release="# R36 (release), REVISION: 4.3, GCID: 1\n")
        model = "NVIDIA Jetson Orin Nano\0"
        put(tmp_path / "proc/device-tree", model=model)
        assert seen(tmp_path) == [("jetson", "NVIDIA Jetson Orin Nano", "L4T 36.4.3", True)]

    def test_a_raspberry_pi(self, tmp_path):
        put(tmp_path / "proc/device-tree", model="Raspberry Pi 5 Model B Rev 1.0\0")
        assert seen(tmp_path)[0][:2] == ("raspberry-pi", "Raspberry Pi 5 Model B Rev 1.0")


class TestHost:
    def test_memory_is_the_kernels_and_limits_are_the_containers(self, tmp_path):
        meminfo = "MemTotal: 4096 kB\nMemAvailable: 2048 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"
        put(tmp_path, proc__meminfo=meminfo + "HugePages_Total: 0\nDirectMap:\n")
        put(tmp_path / "sys/fs/cgroup", **{"memory.max": "1048576", "cpu.max": "100000 100000"})
        found = host.host({"working": tmp_path}, tmp_path)
        assert found.memory_present_bytes == 4096 * 1024
        assert found.memory_available_bytes == 2048 * 1024
        assert (found.memory_usable_bytes, found.cores_usable) == (1048576, 1)
        assert (found.swap_bytes, found.swap_free_bytes) == (0, 0)
        assert found.disks[0].writable
        assert found.disks[0].free_bytes > 0

    def test_what_the_system_does_not_say_is_absent(self, tmp_path):
        found = host.host({}, tmp_path)
        assert found.memory_available_bytes is found.swap_bytes is None

    def test_a_folder_to_come_counts_where_it_will_be_made(self, tmp_path):
        coming = host.disk("cache", tmp_path / "not" / "yet")
        assert coming.writable
        assert coming.path.endswith("not/yet")
        (tmp_path / "file").touch()
        assert not host.disk("cache", tmp_path / "file" / "below").writable

    def test_the_cache_follows_the_environment(self, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert host.folders()["cache"] == tmp_path / "edgecv"
        monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # the specification: ignore it
        monkeypatch.setenv("HOME", str(tmp_path))
        assert host.folders()["cache"] == tmp_path / ".cache" / "edgecv"

    def test_no_temporary_folder_is_no_entry(self, monkeypatch):
        def none():
            raise FileNotFoundError("no usable temporary directory")

        monkeypatch.setattr("tempfile.gettempdir", none)
        assert "temporary" not in host.folders()


@pytest.fixture
def site(tmp_path):
    """Return a function that installs a distribution's metadata into a folder."""

    def install(name, version, *files):
        folder = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        put(folder, METADATA=f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        put(folder, RECORD="".join(f"{file},,\n" for file in files))
        return tmp_path

    return install


class TestPackages:
    def found(self, site):
        return packages.installed([str(site)])

    def test_two_distributions_own_one_module(self, site):
        site("onnxruntime", "1.20.0", "onnxruntime/__init__.py")
        site("Onnxruntime.GPU", "1.19.0", "onnxruntime/__init__.py", "onnxruntime/capi/x.so")
        folder = site("onnxruntime-extensions", "0.1", "onnxruntime_extensions/__init__.py")
        several = packages.owners(self.found(folder), "onnxruntime")
        assert [one.name for one in several] == ["onnxruntime", "onnxruntime-gpu"]

    def test_a_distribution_without_a_record_is_read_by_its_top_level(self, site, tmp_path):
        folder = tmp_path / "opencv-4.6.0.egg-info"
        put(folder, **{"PKG-INFO": "Name: opencv\nVersion: 4.6.0\n", "top_level.txt": "cv2\n"})
        assert [one.name for one in packages.owners(self.found(tmp_path), "cv2")] == ["opencv"]

    def test_requirements_are_held_against_what_is_there(self, site):
        site("numpy", "1.25.0", "numpy/__init__.py")
        site("onnx", "1.18.0rc1", "onnx/__init__.py")
        folder = site("opencv-python-headless", "4.10.0.84", "cv2/__init__.py")
        needs = ["numpy>=1.26", "onnx>=1.17", "opencv-python>=4.9", "rich>=13 ; os_name == 'x'"]
        states = {one.name: one for one in packages.compare(needs, self.found(folder))}
        assert {name: one.state for name, one in states.items()} == {
            "numpy": "old",
            "onnx": "ok",
            "opencv-python": "replaced",
            "rich": "missing",
        }
        assert states["opencv-python"].by == "opencv-python-headless"
        assert states["rich"].required == "rich>=13"

    def test_without_packaging_versions_are_not_compared(self, site, monkeypatch):
        def gone(*args, **kwargs):
            raise MissingDependencyError("not installed", remedy="")

        monkeypatch.setattr(packages, "require", gone)
        folder = site("numpy", "1.25.0", "numpy/__init__.py")
        (state,) = packages.compare(["numpy>=1.26"], self.found(folder))
        assert (state.state, state.version) == ("unchecked", "1.25.0")

    def test_edgecvs_own_requirements_are_known_here(self):
        needs = packages.requirements()
        assert any(need.startswith("onnxruntime") for need in needs)
        assert not any(need.startswith(("pytest", "ruff")) for need in needs)
