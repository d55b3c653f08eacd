"""Vectors of the doctor's probes in a file beside a result, to be compared later."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from harness.doctor.drawing import picture
from harness.doctor.finding import Finding, ModelUnderTest, Probe
from harness.doctor.probes import draw_probes
from harness.encoding.vectors import Work, describe
from harness.errors import UserError, counted
from harness.files.reading import read_object
from harness.files.writing import write_atomic
from harness.identity import model_fingerprint
from harness.types import FloatArray, Role

FILE = "doctor.probes"
_ROLES: tuple[Role, ...] = ("query", "target")
_AGAIN = "Remove it, and keep the vectors again: llave doctor MODEL --keep RESULT."


@dataclass(frozen=True, slots=True)
class KeptVectors:
    """Vectors of probes, and of which model and which drawing they are."""

    name: str
    fingerprint: str
    recipe: str
    """A digest of the probes. Those of another version of the doctor cannot be compared."""
    vectors: Mapping[str, FloatArray]
    """By number and description of the probe."""


@contextmanager
def drawn_pairs() -> Iterator[list[Probe]]:
    """Draws the probes, and gives each of them in both roles. Their files exist inside the context."""
    with tempfile.TemporaryDirectory() as folder:
        probes = draw_probes(Path(folder))
        every = dict.fromkeys((*probes.texts, *probes.instructed, *probes.images, *probes.captioned, *probes.videos))
        yield [Probe(each.item, role) for each in every for role in _ROLES]


def keep_vectors(model: ModelUnderTest) -> KeptVectors:
    """Embeds every probe that the model sees, each in a batch of its own."""
    with drawn_pairs() as pairs:
        seen = {
            label: probe
            for label, probe in _labelled(pairs).items()
            if {medium.kind for medium in probe.item.media} <= set(model.spec.modalities)
        }
        vectors = {label: model.alone(probe) for label, probe in seen.items()}
        return KeptVectors(model.spec.name, model_fingerprint(model.spec), _recipe(pairs), vectors)


def compare_kept(model: ModelUnderTest, kept: KeptVectors, check: str, where: str) -> Finding:
    """Compares the vectors of all probes now with those that were kept. `where` says where those come from."""
    now = keep_vectors(model)
    if now.recipe != kept.recipe:
        return Finding(check, "skipped", f"Another version of the doctor drew the probes {where}.", _AGAIN)
    if now.vectors.keys() != kept.vectors.keys():
        return Finding(check, "fail", f"The model took other kinds of probes {where}.", "Compare its modalities.")
    far = {
        label: model.distance(vector, kept.vectors[label]) if vector.shape == kept.vectors[label].shape else np.inf
        for label, vector in now.vectors.items()
    }
    worst = max(far, key=lambda label: far[label])
    says = f"All {counted(len(far), 'probe')} have the vectors that they had {where}."
    others = f"{sum(each > model.tolerance for each in far.values())} of {counted(len(far), 'probe')} have another "
    others += f"vector than {where}, most of all {worst.partition(': ')[2]}."
    remedy = "Look for what differs: hash(), random numbers, versions of libraries, the device, and the weights."
    return model.same(check, float(far[worst]), says, others, remedy)


def write_kept(folder: Path, kept: KeptVectors) -> Path:
    """Writes the vectors into the folder of a result. Raises: UserError if the disk refuses."""
    path = folder / FILE
    write_atomic(path, _text(kept))
    return path


def read_kept(path: Path) -> KeptVectors:
    """Reads what `write_kept` wrote. Raises: UserError for a file that is missing or damaged."""
    return _kept(read_object(path, _AGAIN), str(path))


def _labelled(pairs: list[Probe]) -> dict[str, Probe]:
    return {f"{number}: {describe(Work(b'', *probe))}": probe for number, probe in enumerate(pairs, start=1)}


def _recipe(pairs: list[Probe]) -> str:
    digest = hashlib.sha256(json.dumps([*_labelled(pairs), *(probe.item.full_text for probe in pairs)]).encode())
    for number in range(4):
        digest.update(picture(number).tobytes())
    return digest.hexdigest()[:16]


def _text(kept: KeptVectors) -> str:
    vectors = {label: vector.tolist() for label, vector in kept.vectors.items()}
    return json.dumps({**asdict(kept), "vectors": vectors}, ensure_ascii=False) + "\n"


def _kept(found: Mapping[str, object], place: str) -> KeptVectors:
    try:
        vectors, texts = found["vectors"], [found[name] for name in ("name", "fingerprint", "recipe")]
        if not isinstance(vectors, dict) or not all(isinstance(each, str) for each in texts):
            raise TypeError
        read = {label: np.array(vector, np.float32) for label, vector in vectors.items()}
        if not read or any(each.ndim != 1 for each in read.values()):
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{place} does not hold vectors of the doctor's probes.", _AGAIN) from None
    name, fingerprint, recipe = map(str, texts)
    return KeptVectors(name, fingerprint, recipe, read)
