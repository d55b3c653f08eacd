"""Commands that list what can be named: models, suites and tasks."""
