"""What is measured: datasets, how their rows are read, and how suites of them are averaged."""
