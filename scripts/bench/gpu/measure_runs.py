"""Parts `end-to-end` and `sessions` of `measure`: complete runs compared with the bare session, two sessions with one."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace

from bench import estimates, machine
from bench.gpu import runs
from bench.gpu.runs import Bench, Plan, Run
from bench.results import Report, Row, at_least

# Share of all cores from which the CPU counts as the bottleneck.
CORES_BUSY = 0.95
# The longer run has this many times the images of the shorter one.
SHORT_SHARE = 4


@dataclass(frozen=True)
class Steady:
    """Steady state of a run, computed from two runs of different length."""

    images_per_s: float
    cores_busy: float


def steady(shorts: list[Run], longs: list[Run]) -> Steady:
    """Divides the additional images and core-seconds of the longer run by its additional seconds."""
    short, long = (estimates.middle(some, key=lambda run: run.wall_s) for some in (shorts, longs))
    if long.images <= short.images or long.wall_s <= short.wall_s:
        return Steady(long.images_per_s, float("nan"))
    return Steady(
        estimates.slope((short.wall_s, short.images), (long.wall_s, long.images)),
        estimates.slope((short.wall_s, short.cpu_s), (long.wall_s, long.cpu_s)),
    )


def target(teacher: str) -> float:
    """Returns the required rate of a complete run relative to the bare session."""
    return 0.97 if "l2" in teacher else 0.90


def end_to_end(bench: Bench, plan: Plan, report: Report) -> None:
    """Measures complete runs, the bare session, and the utilisation of cores and GPU during the runs."""
    images = runs.photographs(bench, plan.length(bench))
    bare_images = plan.length(bench, 0.5)
    bares: list[float] = []
    longs: list[Run] = []
    shorts: list[Run] = []
    for repeat in range(plan.repeats):
        report.attempt("bare session", lambda: bares.append(runs.bare(bench, bare_images)))
        longs.append(runs.end_to_end(bench, images))
        if repeat == 0 or not plan.quick:
            shorts.append(runs.end_to_end(bench, runs.photographs(bench, max(images // SHORT_SHARE, bench.batch))))
        report.replace([*run_rows(bench, shorts, longs), *(bare_rows(bench, bares, shorts, longs) if bares else [])])


def run_rows(bench: Bench, shorts: list[Run], longs: list[Run]) -> list[Row]:
    """Describes complete runs."""
    between = steady(shorts, longs)
    long = estimates.middle(longs, key=lambda run: run.wall_s)
    share = f"of {bench.threads}: {between.cores_busy / bench.threads:.0%}"
    note = f"medians of {len(longs)}; {long.images:,} and {shorts[0].images:,} photographs, batch {bench.batch}"
    rows = [
        Row("relabel, complete run without startup and end", between.images_per_s, "images/s", note=note),
        Row("relabel, complete run", long.images_per_s, "images/s", note=f"slowest stage: {long.slowest_stage}"),
        Row("spread of complete runs", estimates.spread([run.wall_s for run in longs]), "×"),
        Row("busy cores during the run", between.cores_busy, "cores", note=share),
        Row("relabel, per core in use", between.images_per_s / between.cores_busy, "images/s"),
        Row("all cores of the machine, including other programs", long.busy.processor_share, "share"),
        Row("label maps on disk", long.bytes_per_image, "bytes/image"),
    ]
    if long.busy.gpu_share is not None:
        rows += [
            Row("GPU busy during the run", long.busy.gpu_share, "share", note="from nvidia-smi"),
            Row("GPU power during the run", long.busy.gpu_power_w or 0.0, "W"),
            Row("GPU clock during the run", long.busy.gpu_clock_mhz or 0.0, "MHz"),
            Row("GPU memory in use", long.busy.gpu_memory_mib or 0.0, "MiB"),
        ]
    return rows


def bare_rows(bench: Bench, bares: list[float], shorts: list[Run], longs: list[Run]) -> list[Row]:
    """Compares complete runs with the bare session."""
    bare, between = statistics.median(bares), steady(shorts, longs)
    long = estimates.middle(longs, key=lambda run: run.wall_s)
    ratio, wanted = between.images_per_s / bare, target(bench.teacher.name)
    busy = between.cores_busy / bench.threads
    cpu_is_bottleneck = wanted < 0.95 and busy >= CORES_BUSY
    over = at_least("complete run over bare session", ratio, "×", wanted)
    if cpu_is_bottleneck and not over.met:
        over = replace(over, met=True, note=f"the CPU is the bottleneck: {busy:.0%} busy")
    return [
        Row("bare session", bare, "images/s", note=f"medians of {len(bares)}"),
        over,
        Row("complete run over bare session, with startup and end", long.images_per_s / bare, "×"),
        Row("spread of bare sessions", estimates.spread(bares), "×", note="largest over smallest"),
    ]


def sessions(bench: Bench, plan: Plan, report: Report) -> None:
    """Compares one session on the device with two, and with one on each GPU if there are several."""
    images = runs.photographs(bench, plan.length(bench))
    bare_images = plan.length(bench, 0.5)
    devices = [bench.device, f"{bench.device},{bench.device}"]
    gpus = machine.gpu_count() if bench.device.startswith("cuda") else 0
    if gpus > 1:
        devices.append(",".join(f"cuda:{index}" for index in range(gpus)))
    measured: dict[str, tuple[list[float], list[float]]] = {device: ([], []) for device in devices}
    for _ in range(plan.repeats):
        for device in devices:
            bares, longs = measured[device]
            on = bench.with_(device=device)
            report.attempt(f"bare session on {device}", lambda: bares.append(runs.bare(on, bare_images)))  # noqa: B023
            report.attempt(f"relabel on {device}", lambda: longs.append(runs.end_to_end(on, images).images_per_s))  # noqa: B023
            report.replace(session_rows(devices, measured, images, bench.batch))


def session_rows(
    devices: list[str], measured: dict[str, tuple[list[float], list[float]]], images: int, batch: int
) -> list[Row]:
    rows = []
    for what, which in (("bare session", 0), ("relabel, complete run,", 1)):
        rates = {device: statistics.median(measured[device][which]) for device in devices if measured[device][which]}
        for device, rate in rates.items():
            note = f"batch {batch}" + (f", {images:,} photographs" if which else "")
            rows.append(Row(f"{what} on {device}", rate, "images/s", note=note))
            if device != devices[0] and devices[0] in rates:
                rows.append(Row(f"{what} on {device} over {devices[0]}", rate / rates[devices[0]], "×"))
    return rows
