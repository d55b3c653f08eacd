"""Reports of a training run: logs, diagnostics, plots and evaluations."""
