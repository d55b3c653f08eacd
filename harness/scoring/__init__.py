"""From vectors to ranks, from ranks to metrics and their intervals."""
