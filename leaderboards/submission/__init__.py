"""Submissions to the public leaderboard: written, recomputed and checked."""
