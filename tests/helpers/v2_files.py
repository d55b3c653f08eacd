"""Small data in the layout of MMEB-V2's archives, drawn by code: rows, folders of frames, pages and judgements."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.mmeb_v2.documents import ROWS as DOCUMENTS
from tasks.mmeb_v2.documents import V2DocumentSource
from tasks.mmeb_v2.video import MVBENCH_PARTS, ROWS_FOLDER
from tests.helpers.frame_files import picture, write_frames

FRAMES = "video-tasks/frames"
LABELS = {"K700": "archery", "HMDB51": "ride_bike", "UCF101": "PlayingDaf", "Breakfast": "friedegg"}
STEMS = {"K700": "k700", "HMDB51": "hmdb51", "UCF101": "ucf101", "Breakfast": "breakfast"}


def write_rows(folder: Path, name: str, rows: Sequence[Mapping[str, object]]) -> Path:
    """Writes a file of rows, as JSON Lines or as one JSON list, by its extension."""
    path = folder / ROWS_FOLDER / name
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) if path.suffix == ".jsonl" else f"[{', '.join(lines)}]", encoding="utf-8")
    return path


def write_classification(folder: Path, count: int = 3) -> None:
    """The five sets of classification. SSv2 has candidates of its own in each row."""
    for name, stem in STEMS.items():
        rows = [{"video_id": f"clip {number}", "pos_text": LABELS[name]} for number in range(count)]
        write_rows(folder, f"{stem}.jsonl", rows)
        _frames(folder, "video_cls", name, [str(row["video_id"]) for row in rows])
    options = ["holding pen", "moving pen", "dropping a cup"]
    rows = [{"video_id": str(number), "pos_text": options[number % 3], "neg_text": options} for number in range(count)]
    write_rows(folder, "ssv2.jsonl", rows)
    _frames(folder, "video_cls", "SSv2", [str(number) for number in range(count)])


def write_questions(folder: Path, count: int = 2) -> None:
    """The five sets of questions."""
    numbers = range(count)
    options = ["red", "green", "blue", "grey", "black"]
    for part in MVBENCH_PARTS:
        rows = [
            {"video": f"{n}.mp4", "question": f"Which {n}?", "answer": "green", "candidates": options[:3], "start": 1}
            for n in numbers
        ]
        write_rows(folder, f"mvbench/{part}.json", rows)
        _frames(folder, "video_qa", f"MVBench/{part}", [f"{n}.mp4" for n in numbers])
    letters = [f"{letter}. It is {option}." for letter, option in zip("ABCD", options, strict=False)]
    rows = [{"videoID": f"v{n}", "question": "What colour?", "options": letters, "answer": "B"} for n in numbers]
    write_rows(folder, "video-mme.jsonl", rows)
    _frames(folder, "video_qa", "Video-MME", [f"v{n}" for n in numbers])
    fields = {f"a{place}": option for place, option in enumerate(options)}
    write_rows(folder, "nextqa.jsonl", [{"video": 100 + n, "question": "why", "answer": n, **fields} for n in numbers])
    _frames(folder, "video_qa", "NExTQA", [str(100 + n) for n in numbers])
    rows = [{"video_idx": f"e{n}", "question": "What is done?", "answer": str(n), "option": options} for n in numbers]
    write_rows(folder, "egoschema.jsonl", rows)
    _frames(folder, "video_qa", "egoschema", [f"e{n}" for n in numbers])
    rows = [{"video_name": f"a{n}", "question": "is it red", "answer": ("yes", "no")[n % 2]} for n in numbers]
    write_rows(folder, "activitynetqa.jsonl", rows)
    _frames(folder, "video_qa", "ActivityNetQA", [f"v_a{n}" for n in numbers])


def write_retrieval(folder: Path, count: int = 3) -> None:
    """The five sets of retrieval. The archive of DiDeMo is packed in another way than the others."""
    numbers = range(count)
    write_rows(folder, "didemo.jsonl", [{"video": f"d{n}.mov", "caption": f"caption {n}"} for n in numbers])
    _frames(folder, "video_ret/data/ziyan/video_retrieval", "DiDeMo/frames", [f"d{n}" for n in numbers])
    rows = [{"video_id": f"video{n}", "video": f"video{n}.mp4", "caption": f"caption {n}"} for n in numbers]
    write_rows(folder, "msr-vtt.jsonl", rows)
    _frames(folder, "video_ret", "MSR-VTT", [f"video{n}" for n in numbers])
    rows = [{"video_id": f"m{n}", "video": f"m{n}.avi", "caption": [f"first {n}", f"second {n}"]} for n in numbers]
    write_rows(folder, "msvd.jsonl", rows)
    _frames(folder, "video_ret", "MSVD", [f"m{n}" for n in numbers])
    rows = [{"videoID": f"x{n}", "enCap": [f"first {n}", f"second {n}"]} for n in numbers]
    write_rows(folder, "vatex.jsonl", rows)
    _frames(folder, "video_ret", "VATEX", [f"x{n}" for n in numbers])
    rows = [{"id": f"y{n}", "video_path": "one.mp4", "sentence": f"step {n}"} for n in numbers]
    write_rows(folder, "youcook2-val.jsonl", rows)
    _frames(folder, "video_ret", "YouCook2", [f"y{n}" for n in numbers])


def write_moments(folder: Path, count: int = 2) -> None:
    """The three sets of moments: clips in the folder of each video, and MomentSeeker with queries of three kinds."""
    clips = ["query", "positive_clip", *(f"negative_clip_{number}" for number in range(9))]
    for stem, name in (("qvhighlight", "QVHighlight"), ("charades_sta", "Charades-STA")):
        rows = [{"query": f"someone waves {n}", "video_path": f"videos/{name}_{n}.mp4"} for n in range(count)]
        write_rows(folder, f"{stem}.jsonl", rows)
        _frames(folder, "video_mret", name, [f"{name}_{n}/{clip}" for n in range(count) for clip in clips])
    root = folder / FRAMES / "video_mret" / "MomentSeeker"
    root.mkdir(parents=True, exist_ok=True)
    picture("query").save(root / "query_photo.jpg")
    paths = [f"films/{number}.mp4" for number in range(14)]
    _frames(folder, "video_mret/MomentSeeker", "video_frames", [f"films_{number}" for number in range(14)])
    rows = [
        {
            "query": f"a scene {number}",
            "input_frames": given,
            "positive_frames": [{"output_path": path} for path in paths[1 : 2 + number]],
            "negative_frames": [{"output_path": path} for path in paths[5:14]],
        }
        for number, given in enumerate(("", "photo.jpg", "films/0.mp4"))
    ]
    write_rows(folder, "momentseeker_1k6.jsonl", rows)


def write_documents(folder: Path, queries: int = 3, pages: int = 5, old: bool = False) -> None:
    """The 24 sets of documents. With `old`, the two that were issued again are there as before."""
    for task in DOCUMENTS:
        write_document_set(folder, task.name, queries, pages, old)


def write_document_set(folder: Path, name: str, queries: int, pages: int, old: bool = False) -> Path:
    """One set of documents, with images in files as the archive has them. Returns the folder of its tables."""
    source = next(task.source for task in DOCUMENTS if task.name == name)
    assert isinstance(source, V2DocumentSource)
    words = name.startswith("VisRAG")
    split = "train" if words else "test"
    ids: list[object] = [f"{'page ' * 14}{n}.jpg" if words else n for n in range(pages)]
    images = folder / "visdoc-tasks" / "images" / source.pages
    images.mkdir(parents=True, exist_ok=True)
    for each in ids:
        picture(f"{name} {each}").save(images / _page_file(each))
    judged = [(number, ids[number % pages], 2 if name.endswith("-doc") else 1) for number in range(queries)]
    judged += [(number, ids[number % pages], 3) for number in range(queries) if name.endswith("-doc")]
    judged += [(number, ids[(number + 1) % pages], 1) for number in range(queries)]
    place = folder / "visdoc-tasks" / "data" / (name.removesuffix("-fixed") if old else name)
    _table(place / "corpus" / f"{split}-00000-of-00001.parquet", {"corpus-id": ids})
    texts = [f"which page has the total {number}?" for number in range(queries)]
    _table(place / "queries" / f"{split}-00000-of-00001.parquet", {"query-id": list(range(queries)), "query": texts})
    query, page, score = ([row[column] for row in judged] for column in range(3))
    columns = {"query-id": query, "corpus-id": page, "score": score}
    _table(place / "qrels" / f"{split}-00000-of-00001.parquet", columns)
    return place


def write_v2(folder: Path) -> Path:
    """All 42 sets."""
    write_classification(folder)
    write_questions(folder)
    write_retrieval(folder)
    write_moments(folder)
    write_documents(folder)
    return folder


def write_whole(folder: Path) -> Path:
    """Two sets with their published numbers of rows, of one video task and of one set of documents."""
    write_document_set(folder, "VisRAG_ChartQA", 63, 20)
    write_rows(folder, "breakfast.jsonl", [{"video_id": f"clip{n % 7}", "pos_text": "friedegg"} for n in range(433)])
    _frames(folder, "video_cls", "Breakfast", [f"clip{n}" for n in range(7)])
    return folder


def _page_file(name: object) -> str:
    path = PurePosixPath(str(name))
    if not path.suffix:
        return f"{name}.png"
    return f"{path.stem[:50]}_{hashlib.md5(str(name).encode()).hexdigest()[:8]}{path.suffix}"


def _table(path: Path, columns: Mapping[str, Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({name: list(values) for name, values in columns.items()}), path)


def _frames(folder: Path, archive: str, dataset: str, names: Sequence[str], count: int = 2) -> None:
    for name in names:
        write_frames(folder / FRAMES / archive / dataset / name, count, clip=f"{dataset}/{name}")
