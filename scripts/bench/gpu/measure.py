"""Measures labelling on a GPU with one teacher of `scripts/bench teachers`, one part at a time.

    scripts/bench measure end-to-end --teacher resnet50.fp16 --device cuda:0
    scripts/bench measure peer --teacher tf_efficientnet_l2_ns_475.fp16 --quick
    scripts/bench measure sessions --teacher models/mine.onnx --in photos --device cpu --images 60 --batch 4 --repeats 1

parts:
    end-to-end  complete runs compared with the bare session on prepared pixels; utilisation of cores and GPU
    peer        the same job in PyTorch (`peer torch`): complete runs, networks alone, and agreement of the labels
    ceiling     the share of the device's measured peak that the session reaches, and its bottleneck
    knobs       the session with each option of --cuda and each batch size, then complete runs with the best of them
    sessions    two sessions on the device, and one on each GPU if there are several

Compared programs run in turns, and the median is reported. Rows are saved to target/bench/results/PART-TEACHER.json after
each step. Results that need the bare session are skipped if its benchmark (`benches/bare.rs`) is not built.

Exit codes: 0 measured (even if a target is missed), 1 something could not be measured, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from bench import machine
from bench.command import parser_of
from bench.gpu import measure_knobs, measure_peer, measure_runs, networks
from bench.gpu.runs import Bench, Plan
from bench.results import Report, show

PARTS = {
    "end-to-end": measure_runs.end_to_end,
    "peer": measure_peer.peer,
    "ceiling": measure_peer.ceiling,
    "knobs": measure_knobs.measure,
    "sessions": measure_runs.sessions,
}
# The defaults of `relabel run`.
BATCH = {"cuda": 64, "cpu": 16}


def main(words: list[str]) -> int:
    chosen = arguments(words)
    machine.choose_programs(chosen)
    teacher = networks.teacher(chosen.teacher)
    batch = chosen.batch or BATCH[chosen.device.partition(":")[0]]
    bench = Bench(teacher, chosen.device, batch, chosen.threads, chosen.cuda, chosen.source)
    repeats, seconds = (2, 8) if chosen.quick else (3, 20)
    plan = Plan(chosen.images, chosen.repeats or repeats, seconds, chosen.quick, chosen.compile)
    report = Report(f"{chosen.part}-{teacher.name}")
    started = time.perf_counter()
    report.attempt(chosen.part, lambda: PARTS[chosen.part](bench, plan, report))
    show(report.all_rows)
    print(f"bench: {report.part} took {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return 1 if report.has_failures else 0


def arguments(words: list[str]) -> argparse.Namespace:
    cores = machine.cores()
    parser = parser_of("measure", __doc__)
    parser.add_argument("part", choices=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--teacher", required=True, metavar="NAME", help="name such as resnet50.fp16, or a file T.onnx")
    parser.add_argument("--device", default="cuda:0", help="as in `relabel run`: cuda:0, cpu (default: cuda:0)")
    parser.add_argument("--in", dest="source", type=Path, metavar="FOLDER", help="photographs (default: those of `photographs`)")
    parser.add_argument("--batch", type=int, help="images in a batch (default: 64 on CUDA, 16 on the CPU)")
    parser.add_argument("--threads", type=int, default=cores, help=f"threads of relabel, workers of PyTorch (default: {cores})")
    parser.add_argument("--cuda", default="", metavar="OPTIONS", help="--cuda of `relabel run`, for all runs")
    parser.add_argument("--images", type=int, default=0, help="images in each run (default: about 20 s of work)")
    parser.add_argument("--repeats", type=int, default=0, help="number of measurements (default: 3)")
    parser.add_argument("--quick", action="store_true", help="runs of about 8 s, 2 repeats")
    parser.add_argument("--compile", default="default", help="mode of torch.compile for the peer, or none")
    machine.add_programs(parser)
    chosen = parser.parse_args(words)
    if chosen.device.partition(":")[0] not in BATCH or "," in chosen.device:
        parser.error(f"--device {chosen.device}: expected one device, cpu or cuda:N (the part `sessions` uses it twice)")
    if chosen.images < 0 or chosen.repeats < 0 or chosen.threads < 1 or (chosen.batch is not None and chosen.batch < 1):
        parser.error("--images, --repeats, --batch and --threads must be at least 1")
    return chosen
