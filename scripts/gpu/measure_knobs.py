"""Part `knobs` of `bench.py`: each option and batch size by itself, then the useful ones together."""

from __future__ import annotations

import statistics

import knobs
import runs
from report import Plan, Report
from results import Row
from runs import Bench


def measure(bench: Bench, plan: Plan, report: Report) -> None:
    """Measures the bare session with each option, in turns with the defaults; complete runs with the best options."""
    images = plan.images or runs.images_for(bench, plan.seconds / 2)
    words = knobs.options_for(bench.device, bench.teacher.precision)
    sizes = [size for size in knobs.BATCHES[bench.device.partition(":")[0]] if size != bench.batch]
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
            if not report.attempt(f"bare session, {name}", lambda: rate_of.append(runs.bare(variant, images))):
                failed.add(name)
            report.replace(knob_rows(bench, plain, rates))
    gains = {name: statistics.median(some) / statistics.median(plain) for name, some in rates.items() if some}
    together = knobs.best({word: gain for word, gain in gains.items() if word in words})
    size = max((name for name in gains if name.startswith("batch ")), key=lambda name: gains[name], default="")
    batch = int(size.split()[1]) if size and gains[size] >= knobs.MIN_GAIN else bench.batch
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
        report.add(Row("useful options", "none", note=f"less than {knobs.MIN_GAIN - 1:.0%} each"))
        return
    images = runs.photographs(best, plan.images or runs.images_for(plain, plan.seconds))
    measured: dict[Bench, list[float]] = {plain: [], best: []}
    for _ in range(plan.repeats):
        for bench, rates in measured.items():
            report.attempt(
                f"relabel, complete run, batch {bench.batch} {bench.cuda}".rstrip(),
                lambda: rates.append(runs.end_to_end(bench, images).images_per_s),
            )
    if all(measured.values()):
        before, after = (statistics.median(rates) for rates in measured.values())
        report.add(
            Row("relabel, complete run, defaults", before, "images/s", note=f"{images:,} photographs"),
            Row(f"relabel, complete run, {name}", after, "images/s"),
            Row(f"complete run with {name} over defaults", after / before, "×"),
        )
