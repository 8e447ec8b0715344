"""What devices answer, which is input from elsewhere: checked before it is believed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

from pydantic import ValidationError

from edgecv_cli.config.fleet import Device
from edgecv_cli.core.errors import DeviceError
from edgecv_cli.core.result import Machine
from edgecv_cli.core.version import __version__
from edgecv_cli.pipeline.fleet.job import PROTOCOL

_MAX_WORDS = 1000


@dataclass(frozen=True)
class Answer:
    """What became of a job on a device.

    Attributes:
        machine: what the device is.
        result: what the function returned, as JSON, unchecked.
        sent_bytes: bytes of files that had to be sent there.
    """

    machine: Machine
    result: dict[str, Any]
    sent_bytes: int = 0


def check_hello(device: Device, hello: dict[str, Any]) -> Machine:
    """Return what a device is, if it speaks what we speak.

    Raises:
        DeviceError: it has another version of edgecv, or answers with something else.
    """
    theirs, python = str(hello.get("edgecv"))[:40], device.python or "python3"
    if theirs != __version__:
        raise DeviceError(
            f"{device.name}: it has edgecv {theirs}, and this is {__version__}",
            remedy=f"on the device: {python} -m pip install edgecv=={__version__}",
        )
    if hello.get("protocol") != PROTOCOL:
        raise DeviceError(
            f"{device.name}: its edgecv {theirs} is of another state than this one",
            remedy="install the same build of edgecv here and on the device",
        )
    try:
        return Machine.model_validate(hello.get("machine"))
    except ValidationError as error:
        raise _strange(device.name) from error


def answered(name: str, reply: Any) -> dict[str, Any]:
    """Return a reply, which has to be an object.

    Raises:
        DeviceError: it is none.
    """
    if not isinstance(reply, dict):
        raise _strange(name)
    return reply


def texts(value: Any) -> list[str]:
    """Return a list of texts; empty where it is something else."""
    return [str(one)[:_MAX_WORDS] for one in value] if isinstance(value, list) else []


def raise_refusal(name: str, error: Any) -> NoReturn:
    """Raise a device's refusal, in its own words.

    Raises:
        DeviceError: always.
    """
    if not isinstance(error, dict):
        raise _strange(name)
    problem, remedy = (str(error.get(key, ""))[:_MAX_WORDS] for key in ("problem", "remedy"))
    raise DeviceError(f"{name}: {problem}", remedy=f"on the device: {remedy}")


def _strange(name: str) -> DeviceError:
    return DeviceError(
        f"{name}: it answers with something that this version does not understand",
        remedy="install the same build of edgecv here and on the device",
    )
