"""Samples the utilisation of CPU and GPU while a program runs.

    with Watch("cuda:0") as watch:
        run_it()
    watch.between(began, ended)      # means over an interval of time.perf_counter()
"""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

EVERY_S = 0.2
ASKED = "utilization.gpu,power.draw,clocks.sm,memory.used"


@dataclass(frozen=True)
class Busy:
    """Mean utilisation over an interval. GPU values are None without nvidia-smi."""

    processor_share: float
    gpu_share: float | None
    gpu_power_w: float | None
    gpu_clock_mhz: float | None
    gpu_memory_mib: float | None


class Watch:
    """Samples from entering the context until leaving it."""

    def __init__(self, device: str) -> None:
        self.processor: list[tuple[float, int, int]] = []
        self.gpu: list[tuple[float, list[float]]] = []
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self._read_processor, daemon=True)]
        self.nvidia_smi: subprocess.Popen[str] | None = None
        if device.startswith("cuda") and shutil.which("nvidia-smi"):
            index = device.split(",")[0].partition(":")[2] or "0"
            command = ["nvidia-smi", f"--id={index}", f"--query-gpu={ASKED}", "--format=csv,noheader,nounits"]
            command += [f"--loop-ms={int(EVERY_S * 1000)}"]
            self.nvidia_smi = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            self.threads.append(threading.Thread(target=self._read_gpu, daemon=True))

    def __enter__(self) -> Watch:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self.ended.set()
        if self.nvidia_smi:
            self.nvidia_smi.terminate()
            self.nvidia_smi.wait()
        for thread in self.threads:
            thread.join()

    def _read_processor(self) -> None:
        while True:
            ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
            # idle and iowait
            self.processor.append((time.perf_counter(), sum(ticks), ticks[3] + ticks[4]))
            if self.ended.wait(EVERY_S):
                return

    def _read_gpu(self) -> None:
        assert self.nvidia_smi
        assert self.nvidia_smi.stdout
        for line in self.nvidia_smi.stdout:
            try:
                self.gpu.append((time.perf_counter(), [float(field) for field in line.split(",")]))
            except ValueError:  # "[N/A]": not supported by this GPU
                continue

    def between(self, began: float, ended: float) -> Busy:
        """Returns the means over an interval, or over all samples if the interval is too short."""
        inside = [sample for sample in self.processor if began <= sample[0] <= ended]
        inside = inside if len(inside) > 1 else self.processor
        all_ticks, idle = (inside[-1][at] - inside[0][at] for at in (1, 2))
        samples = [fields for when, fields in self.gpu if began <= when <= ended]
        means = [sum(column) / len(samples) for column in zip(*samples, strict=True)] if samples else None
        return Busy(
            processor_share=1 - idle / max(all_ticks, 1),
            gpu_share=means[0] / 100 if means else None,
            gpu_power_w=means[1] if means else None,
            gpu_clock_mhz=means[2] if means else None,
            gpu_memory_mib=means[3] if means else None,
        )
