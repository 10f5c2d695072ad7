"""The suite: ``pytest benchmarks``, or ``pytest --pyargs archbench.benchmarks`` where installed."""
