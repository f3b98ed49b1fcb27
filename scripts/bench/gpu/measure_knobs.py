"""Part `knobs` of `measure`: each option and batch size by itself, then the useful ones together."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from bench.gpu import runs
from bench.gpu.runs import Bench, Plan
from bench.results import Report, Row

# Options of `relabel run --cuda`.
CUDA_OPTIONS = ("pinned", "bound", "graph", "nhwc", "exhaustive", "tf32")
# Ways to transfer the input, which exclude each other.
TRANSFERS = ("pinned", "bound", "graph")
# Changes labels by more than the last bits, so speed alone does not select it.
CHANGES_LABELS = ("tf32",)
BATCHES = {"cuda": (16, 32, 64, 128, 256), "cpu": (1, 4, 16)}
# Smaller gains are noise.
MIN_GAIN = 1.02


def options_for(device: str, precision: str) -> tuple[str, ...]:
    """Returns the options that apply. TF32 concerns only products of float32."""
    if not device.startswith("cuda"):
        return ()
    return tuple(word for word in CUDA_OPTIONS if word != "tf32" or precision == "fp32")


def best(gains: Mapping[str, float]) -> str:
    """Returns the options that improve the rate, separated by commas; of those that exclude each other, the best one."""
    useful = {word: gain for word, gain in gains.items() if gain >= MIN_GAIN and word not in CHANGES_LABELS}
    transfer = max((word for word in useful if word in TRANSFERS), key=lambda word: useful[word], default=None)
    return ",".join(word for word in CUDA_OPTIONS if word in useful and (word not in TRANSFERS or word == transfer))


def measure(bench: Bench, plan: Plan, report: Report) -> None:
    """Measures the bare session with each option, in turns with the defaults; complete runs with the best options."""
    images = plan.length(bench, 0.5)
    words = options_for(bench.device, bench.teacher.precision)
    sizes = [size for size in BATCHES[bench.device.partition(":")[0]] if size != bench.batch]
    variants = {word: bench.with_(cuda=word) for word in words}
    variants |= {f"batch {size}": bench.with_(batch=size) for size in sizes}
    plain: list[float] = []
    rates: dict[str, list[float]] = {}
    failed: set[str] = set()
    # Loading a large teacher takes longer than measuring it, so `--quick` measures once.
    for _ in range(1 if plan.quick else plan.repeats):
        plain.append(runs.bare(bench, images))
        for name, variant in variants.items():
            if name in failed:
                continue
            rate_of = rates.setdefault(name, [])
            if not report.attempt(f"bare session, {name}", lambda: rate_of.append(runs.bare(variant, images))):  # noqa: B023
                failed.add(name)
            report.replace(knob_rows(bench, plain, rates))
    gains = {name: statistics.median(some) / statistics.median(plain) for name, some in rates.items() if some}
    together = best({word: gain for word, gain in gains.items() if word in words})
    size = max((name for name in gains if name.startswith("batch ")), key=lambda name: gains[name], default="")
    batch = int(size.split()[1]) if size and gains[size] >= MIN_GAIN else bench.batch
    complete_runs(bench, bench.with_(cuda=together, batch=batch), plan, report)


def knob_rows(bench: Bench, plain: list[float], rates: dict[str, list[float]]) -> list[Row]:
    base = statistics.median(plain)
    rows = [Row("bare session, defaults", base, "images/s", note=f"medians of {len(plain)}, batch {bench.batch}")]
    for name, some in rates.items():
        if some:
            rate = statistics.median(some)
            rows.append(Row(f"bare session, {name}", rate / base, "× defaults", note=f"{rate:,.1f} images/s"))
    return rows


def complete_runs(plain: Bench, best: Bench, plan: Plan, report: Report) -> None:
    """Measures complete runs with the defaults and with the useful options, in turns."""
    name = f"{best.cuda or 'no option'}, batch {best.batch}"
    if best == plain:
        report.add(Row("useful options", "none", note=f"less than {MIN_GAIN - 1:.0%} each"))
        return
    images = runs.photographs(best, plan.length(plain))
    measured: dict[Bench, list[float]] = {plain: [], best: []}
    for _ in range(plan.repeats):
        for bench, rates in measured.items():
            report.attempt(
                f"relabel, complete run, batch {bench.batch} {bench.cuda}".rstrip(),
                lambda: rates.append(runs.end_to_end(bench, images).images_per_s),  # noqa: B023
            )
    if all(measured.values()):
        before, after = (statistics.median(rates) for rates in measured.values())
        report.add(
            Row("relabel, complete run, defaults", before, "images/s", note=f"{images:,} photographs"),
            Row(f"relabel, complete run, {name}", after, "images/s"),
            Row(f"complete run with {name} over defaults", after / before, "×"),
        )
