"""The files of a fleet's benchmark: HTML, Markdown, CSV and JUnit XML."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

from edgecv_cli.pipeline.fleet.result import DeviceResult, FleetResult
from edgecv_cli.report.blocks import Block, Callout, Document, Heading, Paragraph, Table
from edgecv_cli.report.junit import Case, junit
from edgecv_cli.stages.compose.benchmark import compose_benchmark
from edgecv_cli.stages.compose.benchmark_files import (
    BenchmarkFiles,
    benchmark_cases,
    benchmark_csv,
)
from edgecv_cli.stages.compose.origin import machine_blocks
from edgecv_cli.stages.compose.writing import fixed, megabytes, plural

_DEVICE_COLUMNS = ("device", "labels", "address", "cpu", "cores", "os")


def fill(files: BenchmarkFiles, result: FleetResult) -> None:
    """Write what was asked for."""
    files.fill(lambda: fleet_document(result), fleet_csv(result), fleet_junit(result))


def fleet_document(result: FleetResult) -> Document:
    """Return the report: one table of all devices, then each for itself."""
    blocks: list[Block] = [*_verdict(result), _table(result)]
    blocks.append(
        Paragraph(
            "Each device measured alone and by itself. Ratios are within a device; times of "
            "different machines are not compared.",
            muted=True,
        )
    )
    for device in result.devices:
        blocks += _own(device, result.edgecv)
    return Document("edgecv benchmark", plural(len(result.devices), "device"), tuple(blocks))


def _verdict(result: FleetResult) -> list[Block]:
    blocks: list[Block] = []
    if result.failed:
        points = tuple(str(device.error) for device in result.failed)
        text = f"{plural(len(result.failed), 'device')} of {len(result.devices)} gave no figures."
        blocks.append(Callout("Missing:", text, "bad", points))
    if result.unmet:
        points = tuple(f"{device.name}: {gate.text}" for device, gate in result.unmet)
        blocks.append(Callout("Failed:", f"{plural(len(points), 'gate')} not met.", "bad", points))
    return blocks


def _table(result: FleetResult) -> Table:
    header = (
        "device",
        "machine",
        "model",
        "engine",
        "p50",
        "p95",
        "peak memory",
        "mAP50-95",
        "threads",
    )
    rows = [row for device in result.devices for row in _rows(device)]
    return Table(header, tuple(rows), frozenset(range(4, len(header))))


def _rows(device: DeviceResult) -> list[tuple[str, ...]]:
    measured = device.benchmark
    if measured is None:
        return [(device.name, "", "no figures", "", "", "", "", "", "")]
    return [
        (
            device.name,
            machine_name(device),
            run.model,
            run.engine,
            fixed(run.p50_ms, 2, " ms") if run.error is None else f"failed: {run.error}",
            fixed(run.p95_ms, 2, " ms"),
            megabytes(run.peak_rss_bytes),
            fixed(run.map),
            str(run.threads),
        )
        for run in measured.runs
    ]


def _own(device: DeviceResult, version: str) -> list[Block]:
    title = f"{device.name} ({device.address})"
    if device.benchmark is None:
        said = (device.remedy,) if device.remedy else ()
        return [Heading(title), Callout("No figures:", str(device.error), "bad", said)]
    own = [
        *compose_benchmark(device.benchmark),
        *machine_blocks(device.benchmark.machine, version),
    ]
    below = [replace(one, level=3) if isinstance(one, Heading) else one for one in own]
    return [Heading(title), *below]


def machine_name(device: DeviceResult) -> str:
    """Return a device's processor and cores; empty where it gave no figures."""
    machine = device.benchmark.machine if device.benchmark else None
    return "" if machine is None else f"{machine.cpu}, {plural(machine.cores, 'core')}"


def fleet_csv(result: FleetResult) -> str:
    """Return one row a device and model as CSV; a device without figures has its error alone."""
    text = io.StringIO()
    columns = next(
        csv.DictReader(io.StringIO(benchmark_csv(one.benchmark))).fieldnames or ()
        for one in result.devices
        if one.benchmark is not None
    )
    writer = csv.DictWriter(text, [*_DEVICE_COLUMNS, *columns], lineterminator="\n")
    writer.writeheader()
    for device in result.devices:
        for row in _csv_rows(device):
            writer.writerow(_csv_device(device) | row)
    return text.getvalue()


def _csv_device(device: DeviceResult) -> dict[str, object]:
    machine = device.benchmark.machine if device.benchmark else None
    row: dict[str, object] = {
        "device": device.name,
        "labels": " ".join(device.labels),
        "address": device.address,
    }
    if machine is not None:
        row |= {"cpu": machine.cpu, "cores": machine.cores, "os": machine.os}
    return row


def _csv_rows(device: DeviceResult) -> list[dict[str, str]]:
    if device.benchmark is None:
        return [{"error": str(device.error)}]
    return list(csv.DictReader(io.StringIO(benchmark_csv(device.benchmark))))


def fleet_junit(result: FleetResult) -> str:
    """Return rows and conditions of all devices as JUnit XML."""
    cases: list[Case] = []
    for device in result.devices:
        if device.benchmark is None:
            message = str(device.error)
            cases.append(Case(device.name, "error", kind="device", message=message))
            continue
        cases += [
            replace(case, name=f"{device.name}: {case.name}")
            for case in benchmark_cases(device.benchmark)
        ]
    return junit("edgecv benchmark", cases, seconds=result.seconds)
