"""Results and published rows as a leaderboard."""
