"""Code that several benchmarks share. The scripts lie one folder up."""
