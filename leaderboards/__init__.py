"""What results mean: tables of runs, with what they leave out and how sure they are."""
