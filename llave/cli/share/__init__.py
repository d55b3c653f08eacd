"""Commands that give results to others and take theirs: files of other projects, submissions, the hub."""
