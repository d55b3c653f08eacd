"""Leaderboards: tables of results with confidence intervals, comparisons, published scores and exchange formats."""
