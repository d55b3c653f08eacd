"""What MMEB-V3 (arXiv 2604.23321) adds to MMEB-V2: its text tasks, and the tasks that cannot be run here."""
