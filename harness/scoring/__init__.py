"""Scoring: vectors to ranks, and ranks to metrics with their confidence intervals."""
