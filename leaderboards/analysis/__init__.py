"""What vectors and results that exist already can tell."""
