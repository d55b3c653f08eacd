"""Models without a network, whose scores are known or easy to beat."""
