"""What each family says that it does with several media is what it does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.doctor.finding import ModelUnderTest
from harness.doctor.probes import draw_probes
from harness.doctor.several import image_order, image_place, several_images
from harness.errors import UserError
from harness.models import ROWS, open_model
from harness.models.common import side_by_side
from harness.models.vlm.recipes import RECIPES
from harness.types import Item, ModelSettings
from tests.helpers.dual_files import KINDS
from tests.helpers.vlm_files import WRITERS

GOLDEN = Path(__file__).resolve().parents[3] / "../shared/golden/checkpoint"
PROMPTS = {getattr(recipe.prompt, "func", recipe.prompt).__name__: recipe for recipe in RECIPES}
"""One recipe for each form of prompt, since the prompt decides it."""


@pytest.fixture(scope="module")
def probes(tmp_path_factory: pytest.TempPathFactory) -> object:
    return draw_probes(tmp_path_factory.mktemp("probes"))


def opened(name: str, **options: str) -> ModelUnderTest:
    return ModelUnderTest(open_model(name, ModelSettings(device="cpu", options=options)).load())


def verdicts(model: ModelUnderTest, probes: object) -> list[str]:
    return [check(model, probes).verdict for check in (several_images, image_order, image_place)]


@pytest.mark.parametrize("name", ["classical", "null/random"])
def test_models_without_a_network(name: str, probes: object) -> None:
    assert verdicts(opened(name), probes) == ["pass"] * 3


def test_llave_keeps_every_picture_in_its_place(probes: object) -> None:
    if not GOLDEN.is_dir():
        pytest.skip("the recorded checkpoint is not here")
    model = opened(str(GOLDEN))
    assert model.spec.several_media == "interleaved"
    assert verdicts(model, probes) == ["pass"] * 3


@pytest.mark.parametrize("prompt", PROMPTS)
def test_every_form_of_prompt(prompt: str, probes: object, tmp_path: Path) -> None:
    recipe = PROMPTS[prompt]
    folder = WRITERS[recipe.family.model_type](tmp_path / "tiny")
    model = opened(f"vlm/{recipe.name}={folder}")
    assert model.spec.several_media == recipe.several_media
    assert verdicts(model, probes) == ["pass"] * 3


def test_recipes_of_one_prompt_say_the_same() -> None:
    for recipe in RECIPES:
        form = getattr(recipe.prompt, "func", recipe.prompt).__name__
        assert recipe.several_media == PROMPTS[form].several_media


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip") / "tiny"
    folder.mkdir()
    KINDS["clip"].write(folder)
    return folder


@pytest.mark.parametrize(
    ("option", "stated", "expected"),
    [
        ("mean", "mean", ["pass"] * 3),
        ("unit-mean", "mean", ["pass"] * 3),
        ("side-by-side", "side-by-side", ["pass"] * 3),
        ("refused", "refused", ["pass", "skipped", "skipped"]),
    ],
)
def test_dual_encoders_do_what_the_option_says(
    option: str, stated: str, expected: list[str], clip: Path, probes: object
) -> None:
    model = opened(str(clip), several_media=option)
    assert model.spec.several_media == stated
    assert model.spec.options["several_media"] == option  # so it is part of the identity
    assert verdicts(model, probes) == expected


def test_the_vectors_of_several_pictures(clip: Path, probes: object) -> None:
    """`mean` is the mean of the vectors, `unit-mean` that of their directions."""
    media = [probe.item.media[0] for probe in probes.images[:2]]
    both, single = Item(media=tuple(media)), [Item(media=(medium,)) for medium in media]

    def vectors(option: str) -> list[np.ndarray]:
        embedder = opened(str(clip), several_media=option).embedder
        return [
            np.asarray(each) for each in embedder.embed([embedder.prepare(each, "query") for each in (both, *single)])
        ]

    whole, one, other = vectors("mean")
    np.testing.assert_allclose(whole, (one + other) / 2, atol=1e-6)
    unit, *alone = vectors("unit-mean")
    np.testing.assert_allclose(alone, [one, other], atol=1e-6)  # a single picture is the same under every option
    np.testing.assert_allclose(unit, (one / np.linalg.norm(one) + other / np.linalg.norm(other)) / 2, atol=1e-6)
    _, one_alone, _ = vectors("side-by-side")
    np.testing.assert_allclose(one_alone, one, atol=1e-6)
    with pytest.raises(UserError, match="set to take one image or video, and an item has 2"):
        vectors("refused")


def test_pictures_side_by_side_have_the_height_of_the_lowest() -> None:
    red, blue = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (6, 2), "blue")
    joined = side_by_side([red, blue])
    assert joined.size == (8, 2)
    assert [joined.getpixel((x, 0)) for x in (0, 1, 2, 7)] == [(255, 0, 0)] * 2 + [(0, 0, 255)] * 2


def test_every_row_that_sees_images_says_what_it_does_with_several() -> None:
    silent = [row.name for row in ROWS if "image" in row.modalities and not row.several_media]
    assert silent == ["package.module:Class", "https://HOST/v1#MODEL"]  # these say it in their specs
