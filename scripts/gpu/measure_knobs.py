"""Part `knobs` of `bench.py`: every setting and batch size on its own, then those that gain something together."""

from __future__ import annotations

import statistics

import knobs
import runs
from report import Plan, Report
from results import Row
from runs import Bench


def measure(bench: Bench, plan: Plan, report: Report) -> None:
    """The session alone with each setting, in turns with the plain one; whole runs with the best of them."""
    images = plan.images or runs.images_for(bench, plan.seconds / 2)
    words = knobs.words_for(bench.device, bench.teacher.precision)
    sizes = [size for size in knobs.BATCHES[bench.device.partition(":")[0]] if size != bench.batch]
    variants = {word: bench.with_(cuda=word) for word in words}
    variants |= {f"batch {size}": bench.with_(batch=size) for size in sizes}
    plain: list[float] = []
    rates: dict[str, list[float]] = {}
    impossible: set[str] = set()
    # Loading a large teacher takes longer than measuring it.
    for _ in range(1 if plan.quick else plan.repeats):
        plain.append(runs.bare(bench, images))
        for name, variant in variants.items():
            if name in impossible:
                continue
            rate_of = rates.setdefault(name, [])
            if not report.attempt(f"bare session, {name}", lambda: rate_of.append(runs.bare(variant, images))):
                impossible.add(name)
            report.replace(knob_rows(bench, plain, rates))
    gains = {name: statistics.median(some) / statistics.median(plain) for name, some in rates.items() if some}
    together = knobs.best({word: gain for word, gain in gains.items() if word in words})
    size = max((name for name in gains if name.startswith("batch ")), key=lambda name: gains[name], default="")
    batch = int(size.split()[1]) if size and gains[size] >= knobs.WORTH else bench.batch
    whole_runs(bench, bench.with_(cuda=together, batch=batch), plan, report)


def knob_rows(bench: Bench, plain: list[float], rates: dict[str, list[float]]) -> list[Row]:
    base = statistics.median(plain)
    rows = [Row("bare session, plain", base, "images/s", note=f"medians of {len(plain)}, batch {bench.batch}")]
    for name, some in rates.items():
        if some:
            rate = statistics.median(some)
            rows.append(Row(f"bare session, {name}", rate / base, "× plain", note=f"{rate:,.1f} images/s"))
    return rows


def whole_runs(plain: Bench, best: Bench, plan: Plan, report: Report) -> None:
    """Whole runs, plain and with what gained something, in turns."""
    name = f"{best.cuda or 'no word'}, batch {best.batch}"
    if best == plain:
        report.add(Row("settings that gain something", "none", note=f"less than {knobs.WORTH - 1:.0%} each"))
        return
    images = runs.photographs(best, plan.images or runs.images_for(plain, plan.seconds))
    measured: dict[Bench, list[float]] = {plain: [], best: []}
    for _ in range(plan.repeats):
        for bench, rates in measured.items():
            report.attempt(
                f"relabel, whole run, batch {bench.batch} {bench.cuda}".rstrip(),
                lambda: rates.append(runs.end_to_end(bench, images).images_per_s),
            )
    if all(measured.values()):
        before, after = (statistics.median(rates) for rates in measured.values())
        report.add(
            Row("relabel, whole run, plain", before, "images/s", note=f"{images:,} photographs"),
            Row(f"relabel, whole run, {name}", after, "images/s"),
            Row(f"whole run with {name} over plain", after / before, "×"),
        )
