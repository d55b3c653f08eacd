"""One run against another, query by query."""
