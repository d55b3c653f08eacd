"""Corpora with queries and graded judgements, in the layouts of BEIR, MTEB, MIEB, ViDoRe and TREC."""
