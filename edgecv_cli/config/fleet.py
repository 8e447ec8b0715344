"""The devices that a job is run on, as ``--devices FLEET.yaml`` lists them.

What stands here ends in the arguments of ssh, so every value that could be read as an option or
by a shell is refused when the file is read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from edgecv_cli.config.base import Config, path_fields
from edgecv_cli.config.common import CoreList
from edgecv_cli.config.yaml import read_yaml
from edgecv_cli.core.errors import ConfigError

MAX_DEVICES = 256

_ADDRESS = re.compile(
    r"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})@)?"
    r"(?P<host>[A-Za-z0-9][A-Za-z0-9.-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
_HOST_BY_ITSELF = ("localhost",)

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class SshAddress(Config):
    """Where ssh goes: ``user@host:port``, of which only the host is needed."""

    user: str | None
    host: str = Field(description="Name as ssh takes it, or an IP address without brackets.")
    port: int | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an address.

        Raises:
            ValueError: it is none, or could be taken for an option of ssh.
        """
        match = _ADDRESS.fullmatch(text)
        port = int(match["port"]) if match and match["port"] else None
        if match is None or not (port is None or 0 < port < 65536):
            raise ValueError(f"write USER@HOST or USER@HOST:PORT, not {text!r}")
        return cls(user=match["user"], host=match["host"].strip("[]"), port=port)

    @property
    def destination(self) -> str:
        """What ssh takes as its destination."""
        return f"{self.user}@{self.host}" if self.user else self.host


def _ssh_address(text: str) -> str:
    SshAddress.parse(text)
    return text


def _program(text: str) -> str:
    if not text or text.startswith("-") or not text.isprintable():
        raise ValueError(f"write the path of the device's Python, not {text!r}")
    return text


def _plain_path(path: Path) -> Path:
    # ssh takes an option's value apart at quotes, and knows no way to write one
    if '"' in str(path) or not str(path).isprintable():
        raise ValueError(f"ssh takes no path with quotes or control characters: {str(path)!r}")
    return path


def _dask_address(text: str) -> str:
    parts = urlsplit(text)
    try:
        complete = parts.scheme in ("tcp", "tls") and parts.hostname and parts.port
    except ValueError:
        complete = False
    if not complete or parts.path.strip("/") or parts.query or parts.username is not None:
        raise ValueError(f"write tls://HOST:PORT of the scheduler, not {text!r}")
    return text


SshTarget = Annotated[str, AfterValidator(_ssh_address)]
PlainPath = Annotated[Path, AfterValidator(_plain_path)]


class Device(Config):
    """One device: a name, exactly one way to get there, and what it shall use."""

    name: Name = Field(description="How tables and errors call it.")
    labels: tuple[Name, ...] = Field((), description="What `--label` picks by.")

    ssh: SshTarget | None = Field(None, description="USER@HOST[:PORT] to go to with OpenSSH.")
    dask: Annotated[str, AfterValidator(_dask_address)] | None = Field(
        None, description="tls://HOST:PORT of a dask scheduler; tcp:// only on this machine."
    )
    local: Literal[True] | None = Field(None, description="A process on this machine.")

    python: Annotated[str, AfterValidator(_program)] | None = Field(
        None,
        description="The device's Python, in which edgecv is installed. Default: python3; for "
        "local, the one that runs now.",
    )
    identity: PlainPath | None = Field(None, description="Private key for ssh.")
    known_hosts: PlainPath | None = Field(
        None, description="File of host keys. Default: ssh's own."
    )
    jump: SshTarget | None = Field(None, description="USER@HOST[:PORT] to go through.")
    connect_timeout: int = Field(15, ge=1, le=600, description="Seconds to get there.")
    worker: Name | None = Field(None, description="The dask worker's name. Default: the device's.")
    ca: Path | None = Field(None, description="Certificate authority of tls://, PEM.")
    cert: Path | None = Field(None, description="Our certificate for tls://, PEM.")
    key: Path | None = Field(None, description="Our key for tls://, PEM.")

    engine: tuple[str, ...] = Field((), description="Engines there, instead of --engine.")
    threads: int | None = Field(None, ge=1, le=1024, description="Instead of --threads.")
    affinity: CoreList | None = Field(None, description="Instead of --affinity.")
    wait: float = Field(
        1800, ge=0, le=86_400, description="Seconds to wait until nothing else is measured there."
    )
    limit: float = Field(
        86_400, gt=0, le=604_800, description="Seconds that the whole job may take there."
    )

    @model_validator(mode="after")
    def _one_door(self) -> Self:
        doors = [name for name in ("ssh", "dask", "local") if getattr(self, name)]
        if len(doors) != 1:
            said = " and ".join(doors) if doors else "none of ssh, dask and local"
            raise ValueError(f"says {said}; say exactly one of them")
        for names, door in _ONLY.items():
            given = [name for name in names if getattr(self, name) is not None]
            if given and not any(getattr(self, one) for one in door.split()):
                raise ValueError(f"{given[0]} is for {' and '.join(door.split())} alone")
        return self

    @model_validator(mode="after")
    def _dask_is_safe(self) -> Self:
        parts = urlsplit(self.dask or "")
        pem = [name for name in ("ca", "cert", "key") if getattr(self, name) is None]
        if parts.scheme == "tls" and pem:
            raise ValueError(f"tls:// needs ca, cert and key, and {', '.join(pem)} is missing")
        if parts.scheme == "tcp" and not _is_loopback(parts.hostname or ""):
            raise ValueError(
                f"{self.dask} is unencrypted, and whoever reaches it may run code there; "
                "write tls:// with ca, cert and key"
            )
        return self


_ONLY = {
    ("identity", "known_hosts", "jump"): "ssh",
    ("worker", "ca", "cert", "key"): "dask",
    ("python",): "ssh local",
}


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host in _HOST_BY_ITSELF


class FleetFile(Config):
    """A fleet: devices by name."""

    devices: tuple[Device, ...] = Field(
        min_length=1, max_length=MAX_DEVICES, description="Each with a name of its own."
    )


class _Listed(Config):
    """A fleet before its devices are read, each under its own name."""

    devices: tuple[Any, ...] = Field(min_length=1, max_length=MAX_DEVICES)


def read_fleet(file: Path, labels: Sequence[str] = ()) -> tuple[Device, ...]:
    """Read the devices of a fleet; paths in the file are relative to it.

    Args:
        file: YAML.
        labels: take only devices that have all of these; empty: every one.

    Raises:
        ConfigError: the file can't be read, a setting is not understood or not safe, two
            devices have one name, or no device has the labels.
    """
    top = _Listed.from_mapping(read_yaml(file), source=str(file))
    devices = [_device(raw, place, file) for place, raw in enumerate(top.devices, 1)]
    names = [device.name for device in devices]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise ConfigError(
            f"{file}: two devices are called {double}", remedy="give each a name of its own"
        )
    chosen = tuple(device for device in devices if set(labels) <= set(device.labels))
    if not chosen:
        known = sorted({label for device in devices for label in device.labels})
        raise ConfigError(
            f"{file}: no device is labelled {' and '.join(labels)}",
            remedy=f"use one of: {', '.join(known)}" if known else "add `labels:` to devices",
        )
    return chosen


def _device(raw: Any, place: int, file: Path) -> Device:
    name = raw.get("name", place) if isinstance(raw, dict) else place
    if isinstance(raw, dict):
        paths = path_fields(Device)
        raw = {
            key: str(file.parent / Path(value).expanduser())
            if key in paths and isinstance(value, str)
            else value
            for key, value in raw.items()
        }
    return Device.from_mapping(raw, source=f"{file}: device {str(name)[:64]}")
