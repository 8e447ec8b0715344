"""How a device is reached with OpenSSH, and what its refusals mean.

Everything is given as arguments, never through a shell; the one command for the device's own
shell is quoted. No passwords are asked for, and host keys are checked whatever ssh's own
configuration says (ssh_config(5)).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from edgecv_cli.config.fleet import Device, SshAddress
from edgecv_cli.core.version import __version__

SSH_FAILED = 255
_DEFAULT_PYTHON = "python3"
_MODULE = ("-P", "-m", "edgecv_cli._fleet_worker")

ENVIRONMENT: Mapping[str, str] = {"SSH_ASKPASS_REQUIRE": "never"}


def worker_arguments(python: str) -> list[str]:
    """Return the command line of a worker."""
    return [python, *_MODULE]


def ssh_arguments(device: Device) -> list[str]:
    """Return the command line that starts a worker on a device."""
    target = SshAddress.parse(device.ssh or "")
    python = (device.python or _DEFAULT_PYTHON).removeprefix("~/")  # ssh starts in the home
    jump = [] if device.jump is None else ["-o", f"ProxyCommand={_through(device)}"]
    return [
        *("ssh", "-T", "-x", "-a"),
        *_options(device),
        *jump,
        *_port(target),
        *("--", target.destination, f"exec {shlex.join(worker_arguments(python))}"),
    ]


def _through(device: Device) -> str:
    """Return the command to a jump host, with the same options: ``-J`` would not pass them on."""
    jump = SshAddress.parse(device.jump or "")
    argv = ["ssh", "-T", "-x", "-a", *_options(device), *_port(jump)]
    command = shlex.join([*argv, "--", jump.destination]).replace("%", "%%")
    head, _, tail = command.partition("-- ")
    return f"{head}-W '[%h]:%p' -- {tail}"


def _port(address: SshAddress) -> list[str]:
    return [] if address.port is None else ["-p", str(address.port)]


def _options(device: Device) -> list[str]:
    settings = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "ConnectTimeout": str(device.connect_timeout),
        "ServerAliveInterval": "5",
        "ServerAliveCountMax": "3",
        "ClearAllForwardings": "yes",
        "PermitLocalCommand": "no",
        "ControlPath": "none",
        "LogLevel": "ERROR",
    }
    if device.known_hosts is not None:
        settings["UserKnownHostsFile"] = _quoted(device.known_hosts)
        settings["GlobalKnownHostsFile"] = "none"
    if device.identity is not None:
        settings["IdentityFile"] = _quoted(device.identity)
        settings["IdentitiesOnly"] = "yes"
    return [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]


def _quoted(path: Path) -> str:
    return '"' + str(path.absolute()).replace("%", "%%") + '"'


_SAID = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key for .* has changed",
        "its host key is not the one that is known: the device was set up anew, or this is "
        "another machine",
        "compare the key on the device (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then "
        "forget the old one: ssh-keygen -R {known_as}{known_in}",
    ),
    (
        r"Host key verification failed|host key is known for",
        "its host key is not known",
        "connect once by hand and compare the key: ssh {destination}",
    ),
    (
        r"Permission denied",
        "it lets nobody in with the keys that there are",
        "put a key there: ssh-copy-id {destination}; keys with a passphrase go into ssh-agent",
    ),
    (r"Connection refused", "it refuses connections", "start sshd there, or correct the port"),
    (
        r"Could not resolve hostname",
        "no machine of this name is known",
        "correct `ssh:` in the fleet's file, or use the IP address",
    ),
    (
        r"timed out|No route to host|Network is unreachable",
        "it can't be reached",
        "see that it runs and is on the network: ping {host}",
    ),
    (r"Unprotected private key|bad permissions", "ssh refuses the key's file", "chmod 600 the key"),
)
_PYTHON_SAID = (
    (
        r"No module named '?\"?edgecv_cli",
        "edgecv is not installed in its {python}",
        "on the device: {python} -m pip install edgecv=={version}; or name another Python with "
        "`python:`",
    ),
    (
        r"No module named '?\"?(?P<module>[A-Za-z0-9_]+)",
        "edgecv in its {python} lacks the module {module}",
        "on the device: {python} -m pip install edgecv=={version}",
    ),
    (
        r"[Uu]nknown option:? -P",
        "its {python} is older than 3.11, which edgecv needs",
        "install Python 3.11 or newer there, with edgecv, and name it with `python:`",
    ),
    (
        r"not found|No such file or directory",
        "it has no {python}",
        "name the device's Python with `python:`, one in which edgecv is installed",
    ),
)


def explain(device: Device, said: str, status: int | None) -> tuple[str, str] | None:
    """Return problem and remedy for what ssh or the device's Python said before it ended.

    Args:
        device: which one.
        said: the end of its standard error.
        status: its exit status, if it ended by itself.

    Returns:
        None where the words are not known.
    """
    by_ssh = device.ssh is not None and status in (None, SSH_FAILED)
    for pattern, problem, remedy in _SAID if by_ssh else _PYTHON_SAID:
        match = re.search(pattern, said)
        if match:
            words = _words(device) | match.groupdict()
            return problem.format(**words), remedy.format(**words)
    return None


def _words(device: Device) -> dict[str, str]:
    target = SshAddress.parse(device.ssh) if device.ssh else None
    standard = target is None or target.port in (None, 22)
    return {
        "host": target.host if target else "",
        # ssh writes a host with another port than 22 in brackets (sshd(8), known_hosts)
        "known_as": (
            (target.host if standard else f"'[{target.host}]:{target.port}'") if target else ""
        ),
        "known_in": f" -f {shlex.quote(str(device.known_hosts))}" if device.known_hosts else "",
        "destination": (shlex.join([*_port(target), target.destination]) if target else ""),
        "python": device.python or _DEFAULT_PYTHON,
        "version": __version__,
    }
