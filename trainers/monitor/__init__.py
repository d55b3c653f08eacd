"""What a training run tells: logs, diagnostics, plots and evaluations."""
