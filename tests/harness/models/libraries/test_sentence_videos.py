"""sentence-transformers models that see videos: files for the library, or frames that are decoded here.

The video processors of transformers need torchvision, so the model is a module of its own code, in the library's form.
"""

from __future__ import annotations

import numpy as np
import pytest

from harness.errors import BadMedia, UserError
from harness.identity import model_fingerprint
from harness.media.frame_policy import FramePolicy
from harness.media.video import read_frames
from harness.types import MEDIA_TOKEN, Item, Media
from tests.helpers.clips import write_clip
from tests.helpers.sentence_files import embed, opened, opened_pictures, refuse_connections, write_pictures
from tests.helpers.watcher import write_watcher

pytest.importorskip("sentence_transformers")
pytest.importorskip("av")
APART, CHAT = ("text", "image", "video", "text+video"), ("text", "image", "video", "message")


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path_factory):
    refuse_connections(monkeypatch)
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path_factory.mktemp("modules")))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("media")
    write_pictures(root)
    write_clip(root / "one.mp4", length=20)
    write_clip(root / "two.mp4", length=12, size=(64, 64))
    return root


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {"apart": write_watcher(root / "apart", *APART), "chat": write_watcher(root / "chat", *CHAT)}


def media(place, *names):
    return tuple(Media("video" if name.endswith("mp4") else "image", name, place) for name in names)


def loaded(folder, **options):
    return opened(folder, trust_remote_code=True, options=options).load()


def library(folder):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu", trust_remote_code=True)


@pytest.mark.parametrize("role", ["query", "target"])
def test_videos_of_the_librarys_reader_are_its_own(folders, place, role):
    theirs = library(folders["apart"])
    encode = theirs.encode_query if role == "query" else theirs.encode_document
    path = str(place / "one.mp4")
    items = [Item("", media(place, "one.mp4")), Item(f"{MEDIA_TOKEN}\nwho", media(place, "one.mp4")), Item("who")]
    expected = [encode([each])[0] for each in ({"video": path}, {"video": path, "text": "who"}, {"text": "who"})]
    np.testing.assert_allclose(embed(loaded(folders["apart"]), items, role), np.stack(expected), rtol=1e-6)


def test_frames_of_our_reader_are_seen_as_they_are_with_their_numbers(folders, place):
    numbers = FramePolicy.parse("uniform:4").choose(20, 10.0)
    frames = read_frames(media(place, "one.mp4")[0], lambda *_: numbers)
    video = {"array": frames, "video_metadata": {"frames_indices": numbers}}
    kept = {"processing_kwargs": {"video": {"do_sample_frames": False}}}
    expected = library(folders["apart"]).encode_query([{"video": video, "text": "who"}], **kept)
    ours = embed(loaded(folders["apart"], frames="uniform:4"), [Item("who", media(place, "one.mp4"))])
    np.testing.assert_allclose(ours, expected, rtol=1e-6)


def test_several_media_apart_are_the_mean_of_their_unit_vectors(folders, place):
    model = loaded(folders["apart"])
    files = media(place, "one.mp4", "0.png", "two.mp4")
    together, *parts = embed(
        model,
        [
            Item("who", files),
            *(Item("who", (each,)) for each in files if each.kind == "video"),
            Item("", files[1:2]),
            Item("who"),
        ],
    )
    units = [each / np.linalg.norm(each) for each in parts]
    np.testing.assert_allclose(together, np.mean(units, axis=0), rtol=1e-5, atol=1e-6)


def test_a_chat_model_has_pictures_and_videos_where_the_text_has_them(folders, place):
    files = media(place, "0.png", "one.mp4")
    (picture,) = opened_pictures([files[0]])
    content = [
        {"type": "text", "text": "first "},
        {"type": "image", "image": picture},
        {"type": "text", "text": "then "},
        {"type": "video", "video": str(place / "one.mp4")},
    ]
    expected = library(folders["chat"]).encode_query([[{"role": "user", "content": content}]])
    ours = embed(loaded(folders["chat"]), [Item(f"first {MEDIA_TOKEN}then {MEDIA_TOKEN}", files)])
    np.testing.assert_allclose(ours, expected, rtol=1e-6)


def test_frames_in_a_chat_are_given_in_the_librarys_form_of_several_media(folders, place):
    files = media(place, "two.mp4", "0.png", "one.mp4")
    model = loaded(folders["chat"], frames="uniform:2")
    (ours,) = embed(model, [Item(f"{MEDIA_TOKEN}{MEDIA_TOKEN}{MEDIA_TOKEN} who", files)])
    clips = []
    for file, numbers in ((files[0], [0, 11]), (files[2], [0, 19])):
        clips.append(
            {"array": read_frames(file, lambda *_, n=numbers: n), "video_metadata": {"frames_indices": numbers}}
        )
    whole = {"video": clips, "image": opened_pictures([files[1]]), "text": " who"}
    kept = {"processing_kwargs": {"video": {"do_sample_frames": False}}}
    np.testing.assert_allclose(ours, library(folders["chat"]).encode_query([whole], **kept)[0], rtol=1e-6)


def test_the_choice_of_frames_is_a_part_of_the_identity_and_only_of_models_that_see_videos(folders, tmp_path):
    specs = {
        rule: opened(folders["chat"], trust_remote_code=True, options={"frames": rule}).spec
        for rule in ("library", "uniform:4", "fps:1:8")
    }
    assert [spec.options["frames"] for spec in specs.values()] == list(specs)
    assert len({model_fingerprint(spec) for spec in specs.values()}) == 3
    assert specs["library"].modalities == ("text", "image", "video")
    assert specs["library"].several_media == "interleaved"
    with pytest.raises(UserError, match="cannot be chosen by 'some'"):
        opened(folders["chat"], trust_remote_code=True, options={"frames": "some"})
    blind = write_watcher(tmp_path / "blind", "text", "image")
    with pytest.raises(UserError, match="has no option 'frames'"):
        opened(blind, trust_remote_code=True, options={"frames": "uniform:4"})


def test_a_damaged_video_and_a_folder_of_frames_are_named_before_the_library_sees_them(folders, place, tmp_path):
    model = loaded(folders["apart"])
    (place / "bad.mp4").write_bytes((place / "one.mp4").read_bytes()[:400])
    with pytest.raises(BadMedia, match=r"bad\.mp4"):
        model.prepare(Item("", media(place, "bad.mp4")), "query")
    (tmp_path / "frames.mp4").mkdir()
    for number in range(3):
        opened_pictures([Media("image", "0.png", place)])[0].save(tmp_path / "frames.mp4" / f"{number}.png")
    clip = Media("video", "frames.mp4", tmp_path)
    with pytest.raises(BadMedia, match="is a folder of frames") as caught:
        model.prepare(Item("", (clip,)), "query")
    assert "frames=uniform:8" in caught.value.hint
    assert embed(loaded(folders["apart"], frames="uniform:2"), [Item("", (clip,))])[0][8] == 2
