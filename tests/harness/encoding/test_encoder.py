"""How the work is organised changes no vector; what goes wrong on the way loses none."""

from __future__ import annotations

import hashlib
import math
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.encoding import CPU_BUDGET, DEFAULT_BUDGET, usual_budget
from harness.encoding import encoder as encode
from harness.encoding import window as window_of_items
from harness.encoding.encoder import Encoder, EncodeReport
from harness.encoding.oom import is_out_of_memory
from harness.encoding.store import Store
from harness.encoding.vectors import Work, as_matrix, describe
from harness.errors import BadMedia, ModelFailed, RunFailed, UserError, model_traceback
from harness.progress import NoProgress
from harness.types import Features, FloatArray, Item, Media, ModelSpec, Role

WIDTH = 4


def vector(text: str) -> FloatArray:
    """What the model says to a text, alone or in company."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).normal(size=WIDTH).astype(np.float32)


def work(texts: Sequence[str], *, media: bool = False) -> list[Work]:
    picture = (Media("image", "a.png", Path("root")),) if media else ()
    return [Work(hashlib.sha256(text.encode()).digest(), Item(text, picture), "query", len(picture)) for text in texts]


def cost_of(text: str) -> int:
    """A text like `7 words` costs 7."""
    head = text.split()[0]
    return int(head) if head.isdigit() else 1


class Model:
    """Says the same of an item whatever its batch, does what a test wants beside, and remembers its batches."""

    spec = ModelSpec("test", "1", "test/1")

    def __init__(
        self,
        before_prepare: Callable[[str], None] = lambda _: None,
        before_embed: Callable[[list[str]], None] = lambda _: None,
        output: Callable[[list[str]], object] = lambda texts: np.stack([vector(text) for text in texts]),
    ) -> None:
        self._before_prepare, self._before_embed, self._output = before_prepare, before_embed, output
        self.batches: list[list[str]] = []

    def prepare(self, item: Item, role: Role) -> Features[str]:
        self._before_prepare(item.text)
        return Features(item.text, cost_of(item.text))

    def embed(self, features: Sequence[Features[str]]) -> object:
        texts = [feature.data for feature in features]
        self._before_embed(texts)
        self.batches.append(texts)
        return self._output(texts)


class Counting(NoProgress):
    def __init__(self) -> None:
        self.steps, self.notes = 0, list[str]()

    def advance(self, steps: int = 1) -> None:
        self.steps += steps

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store", Model.spec) as opened:
        yield opened


def run(
    model: Model, store: Store, todo: Sequence[Work], budget: int = 64, workers: int = 2, *, skip: bool = False
) -> EncodeReport:
    return Encoder(model, store, budget=budget, workers=workers).run(todo, NoProgress(), skip_bad_media=skip)


def check_stored(store: Store, todo: Sequence[Work]) -> None:
    found = store.get([each.key for each in todo])
    assert np.array_equal(found, np.stack([vector(each.item.text) for each in todo]))


texts = st.lists(
    st.builds(lambda cost, size, n: f"{cost} {'x' * size}{n}", *[st.integers(0, most) for most in (40, 30, 99)]),
    unique=True,
    max_size=80,
)


@given(texts, st.integers(0, 100), st.integers(0, 3), st.booleans(), st.sampled_from([1, 3, 256]), st.integers(2, 9))
@settings(max_examples=60, deadline=None)
def test_the_organisation_of_the_work_changes_no_vector_and_keeps_to_the_budget(
    tmp_path_factory: pytest.TempPathFactory,
    texts: list[str],
    budget: int,
    workers: int,
    media: bool,
    most: int,
    window: int,
) -> None:
    todo = work(texts, media=media)
    model, listener = Model(), Counting()
    with pytest.MonkeyPatch.context() as patch, Store(tmp_path_factory.mktemp("store"), Model.spec) as store:
        patch.setattr(window_of_items, "MOST_ITEMS", most)
        patch.setattr(encode, "_WINDOW", window)
        report = Encoder(model, store, budget=budget, workers=workers).run(todo, listener)
        if todo:
            check_stored(store, todo)
    done = [text for batch in model.batches for text in batch]
    assert sorted(done) == sorted(texts), "each once"
    padded = [len(batch) * max(1, *map(cost_of, batch)) for batch in model.batches]
    for batch, cost in zip(model.batches, padded, strict=True):
        assert len(batch) == 1 or (cost <= budget and len(batch) <= most)
    assert (report.items, report.batches) == (len(texts), len(model.batches))
    assert report.padded_cost == sum(padded)
    assert report.cost == sum(max(1, cost_of(text)) for text in texts)
    assert listener.steps == len(texts)


def mixed(count: int, seed: int = 0) -> list[str]:
    """Texts whose costs are skewed, as those of real data are, and follow their lengths more or less."""
    chance = random.Random(seed)
    costs = [min(2000, int(chance.lognormvariate(3.5, 1))) + 1 for _ in range(count)]
    return [f"{cost} {n} {'x' * int(cost * chance.uniform(0.8, 1.25))}" for n, cost in enumerate(costs)]


@pytest.mark.parametrize("media", [False, True])
def test_batches_follow_from_the_plan_and_never_from_timing_or_order(tmp_path: Path, media: bool) -> None:
    todo = work(mixed(600), media=media)
    found = []
    for number, workers in enumerate([0, 1, 3, 3]):
        chance = random.Random(number)

        def sleep(_: object, chance: random.Random = chance) -> None:
            time.sleep(max(0.0, chance.uniform(-0.02, 0.002)))

        model = Model(sleep, sleep)
        with Store(tmp_path / str(number), Model.spec) as store:
            run(model, store, chance.sample(todo, len(todo)), budget=2000, workers=workers)
        found.append(model.batches)
    assert all(batches == found[0] for batches in found)


@settings(max_examples=50)  # each makes a store on the disk
@given(st.lists(st.integers(1, 2000), min_size=1, max_size=40))
def test_what_is_mostly_padding_waits_unless_the_batch_is_small(costs: list[int]) -> None:
    model = Model()
    with TemporaryDirectory() as folder, Store(Path(folder), Model.spec) as store:
        run(model, store, work([f"{cost} {n}" for n, cost in enumerate(costs)]), budget=4096)
    for batch in model.batches:
        found = [cost_of(text) for text in batch]
        assert min(found) >= 0.75 * max(found) or len(found) * max(found) <= 4096 / 16


def test_little_is_wasted_on_padding(store: Store) -> None:
    todo = mixed(4000)
    model = Model()
    report = run(model, store, work(todo), budget=4096)
    unsorted = [todo[start : start + 50] for start in range(0, len(todo), 50)]
    naive = 1 - sum(map(cost_of, todo)) / sum(len(batch) * max(map(cost_of, batch)) for batch in unsorted)
    assert naive > 0.5
    assert report.padding_waste < 0.1
    assert len(model.batches) < 1.2 * report.cost / 4096, "few batches are not full"


def _torch_error() -> Exception:
    import torch

    return torch.OutOfMemoryError("Allocation on device")


def test_a_network_on_the_cpu_has_a_smaller_budget(store: Store) -> None:
    torch = pytest.importorskip("torch")
    network = torch.nn.Linear(2, 2)
    assert usual_budget(SimpleNamespace(network=network)) == CPU_BUDGET
    assert usual_budget(SimpleNamespace(network=network.to("meta"))) == DEFAULT_BUDGET
    assert usual_budget(SimpleNamespace(network=torch.nn.Identity())) == DEFAULT_BUDGET
    assert usual_budget(SimpleNamespace(network="a graph")) == usual_budget(Model()) == DEFAULT_BUDGET
    assert Encoder(Model(), store)._budget == DEFAULT_BUDGET
    assert Encoder(Model(), store, budget=7)._budget == 7


OUT_OF_MEMORY: dict[str, Callable[[], Exception]] = {
    "numpy": lambda: MemoryError("Unable to allocate 12.0 GiB for an array with shape (3, 4)"),
    "bare": MemoryError,
    "cuda": lambda: RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "cublas": lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "cpu": lambda: RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"),
    "torch": _torch_error,
}


@pytest.mark.parametrize(("kind", "limit"), [*((kind, 50) for kind in OUT_OF_MEMORY), ("torch", 3)])
def test_running_out_of_memory_halves_the_batch_and_goes_on(
    store: Store, kind: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(texts: list[str]) -> None:
        if len(texts) * max(map(cost_of, texts)) > limit:
            raise OUT_OF_MEMORY[kind]()

    put: list[bytes] = []
    plain_put = store.put
    monkeypatch.setattr(store, "put", lambda keys, vectors: (put.extend(keys), plain_put(keys, vectors)))
    todo, listener, model = work([f"{n % 3 + 1} word {n}" for n in range(60)]), Counting(), Model(before_embed=refuse)
    encoder = Encoder(model, store, budget=150, workers=1)
    report = encoder.run(todo, listener)
    check_stored(store, todo)
    assert len(put) == len(set(put)) == report.items == listener.steps == 60
    assert 0 < report.backoffs == len(listener.notes) <= math.ceil(math.log2(150 / limit)), "each try is half as large"
    assert "Out of memory" in listener.notes[0]
    again = encoder.run(work([f"3 more {n}" for n in range(20)]), listener)
    assert again.backoffs == 0, "what was learned is kept"


def test_an_item_that_never_fits_is_named_and_the_rest_is_kept(store: Store) -> None:
    def refuse(texts: list[str]) -> None:
        if any("giant" in text for text in texts):
            raise MemoryError

    todo = work([f"2 word {n}" for n in range(100)] + ["1 giant"])
    with pytest.raises(UserError, match="not enough memory even for one item: the query with text '1 giant'"):
        run(Model(before_embed=refuse), store, todo, budget=16)
    check_stored(store, todo[:-1])


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), ValueError("out of range"), KeyError("x")])
@pytest.mark.parametrize("place", ["prepare", "embed"])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.timeout(60)
def test_an_error_of_the_models_own_code_names_model_method_and_items_and_stops_the_threads(
    store: Store, error: Exception, place: str, workers: int
) -> None:
    calls = []

    def fail(_: object) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise error

    model = Model(before_prepare=fail) if place == "prepare" else Model(before_embed=fail)
    with pytest.raises(ModelFailed, match=rf"^The {place} of test failed on the query 'a\.png' with text") as caught:
        run(model, store, work(mixed(1000), media=True), workers=workers)
    assert caught.value.__cause__ is error
    assert f"{type(error).__name__}: {error}" in caught.value.what
    outer = RunFailed("task: it failed")
    outer.__cause__ = caught.value
    for each in (caught.value, outer):
        assert "in fail" in model_traceback(each)
        assert each._render_traceback_()[-1].endswith(str(each)), "a notebook shows both"
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prepare")]
    assert len(calls) < 500


@pytest.mark.parametrize(
    ("count", "named"),
    [
        (1, "{}"),
        (2, "{} and {}"),
        (3, "{}, {} and {}"),
        (4, "{}, {}, {} and 1 more item"),
        (40, "{}, {}, {} and 37 more items"),
    ],
)
def test_at_most_three_items_of_a_batch_are_named(store: Store, count: int, named: str) -> None:
    def fail(_: object) -> None:
        raise AssertionError

    longest_first = ["x" * (count - each) for each in range(count)]
    with pytest.raises(ModelFailed) as caught:
        run(Model(before_embed=fail), store, work(longest_first), workers=0)
    items = named.format(*(f"the query with text '{text}'" for text in longest_first[:3]))
    assert caught.value.what == f"The embed of test failed on {items}: AssertionError."


@pytest.mark.parametrize("place", ["prepare", "embed"])
def test_what_a_model_says_to_the_user_stays_as_it_is(store: Store, place: str) -> None:
    error = UserError("This text is too long.", "Cut it.")

    def fail(_: object) -> None:
        raise error

    with pytest.raises(UserError) as caught:
        run(Model(**{f"before_{place}": fail}), store, work(["a"]))
    assert caught.value is error
    assert model_traceback(error) == ""


def test_a_lack_of_memory_in_preparation_names_the_item(store: Store) -> None:
    def fail(text: str) -> None:
        raise MemoryError

    with pytest.raises(UserError, match="not enough memory to prepare the query with text 'a'"):
        run(Model(before_prepare=fail), store, work(["a"]))


def _spoiled(value: float, whole: bool) -> Callable[[list[str]], object]:
    def output(texts: list[str]) -> object:
        vectors = np.stack([vector(text) for text in texts])
        for row, text in zip(vectors, texts, strict=True):
            if "bad" in text:
                row[slice(None) if whole else -1] = value
        return vectors

    return output


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0])
def test_a_vector_that_means_nothing_is_refused_by_the_name_of_its_item(store: Store, value: float) -> None:
    good, bad = work([f"2 word {n}" for n in range(64)]), work(["1 fine", "1 bad item", "1 also fine"])
    with pytest.raises(UserError, match=r"the query with text '1 bad item'") as caught:
        run(Model(output=_spoiled(value, whole=value == 0.0)), store, [*good, *bad])
    assert "zeros" in caught.value.what if value == 0.0 else "not finite" in caught.value.what
    assert caught.value.hint
    check_stored(store, good)
    assert len(store.missing([each.key for each in bad])) == 3


def test_a_zero_among_other_numbers_is_fine(store: Store) -> None:
    run(Model(output=_spoiled(0.0, whole=False)), store, work(["a bad one"]))


OUTPUTS: dict[str, Callable[[list[str]], object]] = {
    "one too few": lambda texts: np.ones((len(texts) - 1, 4)),
    "one too many": lambda texts: np.ones((len(texts) + 1, 4)),
    "flat": lambda texts: np.ones(len(texts)),
    "deep": lambda texts: np.ones((len(texts), 2, 2)),
    "nothing": lambda texts: None,
    "ragged": lambda texts: [[1.0]] + [[1.0, 2.0] for _ in texts[1:]],
    "words": lambda texts: [["one"] for _ in texts],
    "no width": lambda texts: np.ones((len(texts), 0)),
    "too large for fp32": lambda texts: np.full((len(texts), 4), 1e300),
}


@pytest.mark.parametrize("output", OUTPUTS.values(), ids=OUTPUTS)
@pytest.mark.filterwarnings("error")
def test_output_of_a_wrong_form_is_refused(store: Store, output: Callable[[list[str]], object]) -> None:
    todo = work(["a", "b", "c"])
    with pytest.raises(UserError) as caught:
        run(Model(output=output), store, todo)
    assert caught.value.hint
    assert store.missing([each.key for each in todo]) == [each.key for each in todo]


def test_a_width_unlike_that_of_the_vectors_before_is_refused(store: Store) -> None:
    store.put([b"k" * 32], np.ones((1, WIDTH + 1), dtype=np.float32))
    with pytest.raises(UserError, match="width 4, but those stored before have width 5"):
        run(Model(), store, work(["a"]))


def test_a_width_that_changes_on_the_way_is_refused(store: Store) -> None:
    model = Model(output=lambda texts: np.ones((len(texts), 5 if "b" in texts else 4)))
    with pytest.raises(UserError, match="width"):
        run(model, store, work(["a", "b"]), budget=1)


def test_tensors_of_any_float_type_are_taken() -> None:
    torch = pytest.importorskip("torch")
    plain = np.array([[0.5, -2.0], [1.0, 3.25]], dtype=np.float32)
    for kind in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        assert np.array_equal(as_matrix(torch.tensor(plain, dtype=kind, requires_grad=True)), plain)
    for other in (plain.astype(np.float16), plain.astype(np.float64), plain.tolist(), list(plain)):
        found = as_matrix(other)
        assert found.dtype == np.float32
        assert np.array_equal(found, plain)


def refuse_bad(text: str) -> None:
    if "bad" in text:
        raise BadMedia(f"{text}.png is damaged.", "Fetch it again.")


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_media_stop_the_run_or_are_counted(store: Store, workers: int) -> None:
    good, bad = work([f"{n} good" for n in range(90)], media=True), work(["1 bad", "70 bad"], media=True)
    with pytest.raises(BadMedia, match=r"bad\.png is damaged"):
        run(Model(refuse_bad), store, [*bad, *good], workers=workers)
    listener = Counting()
    encoder = Encoder(Model(refuse_bad), store, budget=64, workers=workers)
    report = encoder.run([*bad, *good], listener, skip_bad_media=True)
    assert {key: error.what.split(".")[0] for key, error in report.bad.items()} == {
        each.key: each.item.text for each in bad
    }
    assert (report.items, listener.steps) == (90, 92)
    check_stored(store, good)
    assert len(store.missing([each.key for each in bad])) == 2


def test_nothing_to_do_is_nothing_done(store: Store) -> None:
    model = Model()
    report = run(model, store, [])
    assert (report.items, report.batches, report.padding_waste, model.batches) == (0, 0, 0.0, [])


class Alive:
    """Counts the prepared items that somebody still holds."""

    now = most = 0
    lock = threading.Lock()

    def __init__(self, text: str) -> None:
        self.text = text
        with Alive.lock:
            Alive.now += 1
            Alive.most = max(Alive.most, Alive.now)

    def __del__(self) -> None:
        with Alive.lock:
            Alive.now -= 1


class Heavy:
    spec = Model.spec

    def prepare(self, item: Item, role: Role) -> Features[Alive]:
        return Features(Alive(item.text), 1)

    def embed(self, features: Sequence[Features[Alive]]) -> FloatArray:
        time.sleep(0.002)
        return np.stack([vector(feature.data.text) for feature in features])


@pytest.mark.parametrize("media", [True, False])
def test_prepared_items_do_not_pile_up(store: Store, media: bool) -> None:
    Alive.now = Alive.most = 0
    budget, workers, chunk = 10, 2, 1 if media else encode._TEXTS_AT_ONCE
    todo = work([f"word {n}" for n in range(1500)], media=media)
    Encoder(Heavy(), store, budget=budget, workers=workers).run(todo, NoProgress())
    window = encode._WINDOW * budget
    ahead = (2 * workers + window // chunk + 2) * chunk
    assert Alive.now == 0
    assert Alive.most <= window + ahead


def test_what_comes_next_is_prepared_while_a_batch_is_embedded(store: Store) -> None:
    budget, prepared, embedded = 10, list[str](), list[str]()
    news = threading.Condition()

    def count(text: str) -> None:
        with news:
            prepared.append(text)
            news.notify_all()

    def wait(texts: list[str]) -> None:
        embedded.extend(texts)
        if len(embedded) == 6 * budget:
            with news:
                window = encode._WINDOW * budget
                assert news.wait_for(lambda: len(prepared) >= len(embedded) + window, timeout=20)

    run(Model(count, wait), store, work([f"word {n}" for n in range(200)], media=True), budget=budget, workers=2)


def test_the_costliest_come_first_so_that_a_lack_of_memory_shows_at_once(store: Store) -> None:
    model = Model()
    images = work([f"{n} image" for n in range(1, 30)], media=True)
    by_pixels = [Work(each.key, each.item, each.role, cost_of(each.item.text)) for each in images]
    clip = Work(b"v" * 32, Item("99 video", (Media("video", "a.mp4", Path("root")),)), "query")
    run(model, store, [*work(["text 1", "a text"]), *by_pixels, clip], budget=1)
    assert [text for batch in model.batches for text in batch] == [
        "99 video",
        *[f"{n} image" for n in range(29, 0, -1)],
        *["text 1", "a text"],
    ]


def test_an_item_is_described_by_its_media_and_the_head_of_its_text() -> None:
    pictures = tuple(Media("image", name, Path("root")) for name in ("a.png", "b.png"))
    assert describe(Work(b"", Item("x" * 500, (), "Find: "), "query")) == f"the query with text 'Find: {'x' * 71}...'"
    assert describe(Work(b"", Item("", pictures), "target")) == "the target 'a.png' and 'b.png'"
    assert describe(Work(b"", Item("t", pictures[:1]), "target")) == "the target 'a.png' with text 't'"
    assert describe(Work(b"", Item(), "target")) == "the target without content"


@pytest.mark.parametrize("error", [RuntimeError("device-side assert triggered"), ValueError("x"), RuntimeError()])
def test_other_errors_are_not_taken_for_a_lack_of_memory(error: Exception) -> None:
    assert not is_out_of_memory(error)
