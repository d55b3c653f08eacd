"""Commands that list what there is: models, suites, tasks, and stored vectors."""
