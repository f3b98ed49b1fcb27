"""The benchmarks, and the checks of labelling on a GPU. `bench.command` lists the commands."""
