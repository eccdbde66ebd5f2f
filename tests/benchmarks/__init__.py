"""How fast `videodag run` is, side by side with what people would use instead: `python -m tests.benchmarks --help`."""
