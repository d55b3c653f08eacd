"""Checks of long texts: how much of them is read, and from which end they are cut."""

from __future__ import annotations

import math
import time

from harness.doctor.finding import Finding, ModelUnderTest, Probe
from harness.doctor.probes import Probes, words
from harness.encoding import DEFAULT_BUDGET
from harness.encoding.oom import is_out_of_memory
from harness.encoding.streaming import Streaming
from harness.errors import UserError
from harness.types import Item

_LENGTHS = (32, 128, 512, 2048, 8192)
_CUT = 1e-5
"""Texts that are equal after a cut have the same vector in every dtype. The start of a long one may count little."""
_LONGEST = 2.0
"""If one long text takes more seconds than this, longer texts are not tried."""
_NO_TEXT = "The model does not declare text, or does not take it."


def truncation(model: ModelUnderTest, probes: Probes) -> Finding:
    """Notes how long a text may be before its last quarter has no effect, and whether the model reports this."""
    if not probes.texts:
        return Finding("truncation", "skipped", _NO_TEXT)
    read = 0
    for count in _LENGTHS:
        whole = words(count)
        kept = " ".join(whole.split()[: count * 3 // 4])
        start, long = time.perf_counter(), Probe(Item(whole), "target")
        try:
            distance = model.apart(long, Probe(Item(f"{kept} {words(count // 4, 2)}"), "target"))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            says = f"Texts of {read:,} words are read to the end. Longer ones need more memory."
            return Finding("truncation", "note", says)
        except UserError as error:
            if not read:
                raise
            says = f"Texts of {read:,} words are read to the end. Of {count:,} words one is refused: {error.what}"
            return Finding("truncation", "note", says)
        if distance <= model.tolerance:
            says = f"Texts of {read:,} words are read to the end. Of {count:,} words the last quarter has no effect"
            if _reports_cut(model, long):
                return Finding("truncation", "note", f"{says}, and the model reports the cut.")
            remedy = "Set `truncated` in the Features of such items, so that a run can report how many were cut."
            return Finding("truncation", "note", f"{says}, and the model does not report the cut.", remedy)
        read = count
        if time.perf_counter() - start > _LONGEST:
            break
    says = f"Texts of up to {read:,} words are read to the end. Longer ones were not tried."
    return Finding("truncation", "note", says)


def text_start(model: ModelUnderTest, probes: Probes) -> Finding:
    """Checks that the first half of a long text changes the vector: it is not cut at its start."""
    if not probes.texts:
        return Finding("text start", "skipped", _NO_TEXT)
    tried, nearest = 0, math.inf
    for count in _LENGTHS[:4]:
        start, end = time.perf_counter(), words(count // 2)
        texts = (f"{words(count // 2, first)} {end}" for first in (1, 2))
        try:
            distance = model.apart(*(Probe(Item(text), "target") for text in texts))
        except (MemoryError, RuntimeError, UserError) as error:
            if not isinstance(error, UserError) and not is_out_of_memory(error):
                raise
            break  # `truncation` says which lengths are refused
        if distance <= _CUT:
            says = f"Of a text of {count:,} words the first half has no effect on the vector."
            remedy = "Cut long texts at their end: look at truncation_side of the tokenizer."
            return Finding("text start", "fail", says, remedy, distance, _CUT)
        tried, nearest = count, min(nearest, distance)
        if time.perf_counter() - start > _LONGEST:
            break
    says = f"The start of texts of up to {tried:,} words counts."
    return Finding("text start", "pass", says, "", nearest, _CUT)


def _reports_cut(model: ModelUnderTest, probe: Probe) -> bool:
    features = model.embedder.prepare(*probe)
    if not isinstance(model.embedder, Streaming):
        return features.truncated
    return any(answer.truncated for answer in model.embedder.stream([features], DEFAULT_BUDGET))
