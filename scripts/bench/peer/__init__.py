"""The job of `relabel run`, written in Python as usual: the baseline of the benchmarks."""
