"""Scores in other projects' forms: the public MMEB leaderboard, its older files, mteb, and model cards."""
