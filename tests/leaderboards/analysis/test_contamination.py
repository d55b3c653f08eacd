"""Laws of the search for test data in training data, on real pictures with a planted overlap."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path

import pytest
from PIL import Image

from leaderboards.analysis.lookalikes import LooksIndex, looks_of
from leaderboards.analysis.texts import TextIndex, normal
from llave.cli.main import main

PACK = Path(__file__).resolve().parents[4] / "shared/realdata"
pytestmark = pytest.mark.skipif(not PACK.is_dir(), reason="../shared/realdata is not beside the checkout")
PLANTED = 60


def _pictures(count: int, seed: int) -> list[Path]:
    every = sorted(path for path in (PACK / "images").rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    return random.Random(seed).sample(every, count)


def _open(path: Path) -> Image.Image:
    return Image.open(path).convert("RGB")


def _resized(picture: Image.Image) -> Image.Image:
    return picture.resize([max(8, side // 2) for side in picture.size], Image.Resampling.BICUBIC)


def _recompressed(picture: Image.Image) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=40)
    return Image.open(io.BytesIO(file.getvalue()))


def _cropped(picture: Image.Image) -> Image.Image:
    draw = random.Random(picture.size[0] * 1000 + picture.size[1])
    width, height = picture.size
    left, top = draw.random() * 0.05 * width, draw.random() * 0.05 * height
    return picture.crop((int(left), int(top), int(left + 0.95 * width), int(top + 0.95 * height)))


@pytest.fixture(scope="module")
def looks():
    paths = _pictures(300, 5)
    return [looks_of(_open(path)) for path in paths], paths


class TestPictures:
    @pytest.mark.parametrize("alter", [_resized, _recompressed, _cropped])
    @pytest.mark.parametrize("side", ["train", "test"])
    def test_altered_copies_are_found_whichever_side_was_altered(self, looks, alter, side):
        own, paths = looks
        altered = [looks_of(alter(_open(path))) for path in paths[:PLANTED]]
        if side == "train":
            found = {number for other, number in LooksIndex(own).near(altered) if other == number}
        else:
            found = {number for other, number in LooksIndex(altered).near(own) if other == number}
        assert len(found) >= 0.95 * PLANTED

    def test_other_pictures_are_not_found(self, looks):
        own, paths = looks
        alarms = {other for other, number in LooksIndex(own[:150]).near(own[150:])}
        assert not alarms, [str(paths[150 + each]) for each in alarms]

    @pytest.mark.exhaustive
    def test_fewer_than_one_in_a_thousand_of_the_pack_is_a_false_alarm(self):
        """Half of the pack against the other half; a part of a photograph in both is no false alarm."""
        paths = _pictures(2_000, 6)
        every = [looks_of(_open(path)) for path in paths]
        pairs = LooksIndex(every[:1000]).near(every[1000:])
        stems = [(paths[1000 + other].stem.split("_")[0], paths[number].stem.split("_")[0]) for other, number in pairs]
        assert sum(a != b for a, b in stems) < 1, pairs

    def test_a_plain_picture_shows_nothing(self):
        assert looks_of(Image.new("RGB", (64, 64), "black")) is None


class TestTexts:
    def test_a_text_is_found_under_an_instruction_and_with_a_changed_word(self):
        caption = "A brown dog jumps over a wooden fence in the garden of its owners"
        index = TextIndex([normal(caption)])
        assert index.found_in(normal(f"Find an image that matches the caption: {caption.upper()}!"))
        assert index.found_in(normal(caption.replace("wooden", "wood")))
        assert not index.found_in(normal("A brown cat sleeps on a wooden bench beside the garden"))
        assert not index.found_in(normal(caption + " ".join(map(str, range(1000, 1200)))))

    def test_the_join_finds_what_a_search_over_all_pairs_finds(self):
        draw = random.Random(4)
        words = ["dog", "cat", "runs", "sits", "red", "blue", "house", "tree", "under", "over", "quick", "small"]
        texts = [" ".join(draw.choices(words, k=draw.randint(5, 9))) for _ in range(60)]
        others = [" ".join([*draw.choices(words, k=2), *text.split()[: draw.randint(4, 9)]]) for text in texts]
        index = TextIndex(texts)
        for other in others:
            alone = [text for text in dict.fromkeys(texts) if TextIndex([text]).found_in(other)]
            assert index.found_in(other) == alone

    def test_short_texts_are_no_evidence(self):
        assert normal("a red car") == ""
        assert TextIndex([""]).found_in("a b c d e f") == []


def test_a_planted_overlap_is_found_and_nothing_else(tmp_path, capsys):
    """The first queries of a task are planted among other pairs: images with their own bytes, and one caption."""
    data = ["--data", str(PACK / "mmeb"), "--images", str(PACK / "images"), "-t", "Flickr8k_i2t", "--limit", "40"]
    run = ["--out", str(tmp_path / "r"), "--store", str(tmp_path / "s"), "-q"]
    assert main(["run", "null/random", *data, *run]) == 0
    rows = next((tmp_path / "r").rglob("*.queries.jsonl")).read_text().splitlines()
    queries = [json.loads(row) for row in rows]
    planted = [PACK / "images" / queries[at]["content"]["media"][0] for at in (0, 7)]
    others = [path for path in _pictures(60, 8) if "flickr8k" not in str(path).lower()][:30]
    lines = [{"query": {"image": str(path)}, "positive": f"number {at}"} for at, path in enumerate([*planted, *others])]
    caption = queries[12]["positives"][0]["text"]
    lines.append({"query": f"Which photo? {caption}", "positive": "it"})
    train = tmp_path / "train.jsonl"
    train.write_text("\n".join(map(json.dumps, lines)))
    words = ["contamination", "--train", str(train), "--allow-root", str(PACK / "images"), *data]
    capsys.readouterr()
    assert main([*words, "--results", str(tmp_path / "r"), "--format", "json", "-q"]) == 0
    found = json.loads(capsys.readouterr().out)["figures"]
    assert found["tasks"][0]["hit"] == [0, 7, 12]
    assert {each["how"] for each in found["tasks"][0]["found"]} == {"same bytes", "same text"}
    model = found["models"][0]
    assert model["low"] <= model["change"] <= model["high"]
    assert model["without"] - model["score"] == pytest.approx(model["change"])
    assert main([*words, "--exact", "-q"]) == 0
    assert main(["contamination", "--train", str(tmp_path / "none"), *data]) == 2
