"""Three examples of each command, as its help shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Example(NamedTuple):
    """A command that can be run as it stands, and what it does."""

    command: str
    does: str


EXAMPLES: Mapping[str, tuple[Example, ...]] = {
    "run": (
        Example("llave run classical null/random -s demo", "the built-in tasks: no download, a minute on a CPU"),
        Example("llave run Qwen/Qwen3-VL-Embedding-2B -s mmeb", "a model and the data from the hub"),
        Example("llave run runs/demo/checkpoint-300 -d questions.jsonl", "your own checkpoint on your own file"),
    ),
    "board": (
        Example("llave board runs/results", "your models, ranked"),
        Example("llave board runs/results --published -s mmeb", "beside the rows of papers"),
        Example("llave board --html board.html --html-queries 10", "a page that shows queries too"),
    ),
    "serve": (
        Example("llave serve runs/results", "the page of your results, which follows them"),
        Example("llave serve runs/results --published -s mmeb", "beside the rows of papers"),
        Example("llave serve runs/results --port 0 --images photos", "any free port, pictures that were moved"),
    ),
    "compare": (
        Example("llave compare classical null/random", "two models that were evaluated"),
        Example("llave compare runs/results/a runs/results/b --queries 20", "with queries gained and lost"),
        Example("llave compare old new --fail-on-regression 1", "status 1 if new is worse by a point"),
    ),
    "mine": (
        Example("llave mine classical -d demo --dataset demo-caption-t2i -o mined.jsonl", "hard negatives"),
        Example("llave mine classical -d pairs.jsonl -o mined.jsonl --margin 0.1", "fewer that may be right"),
        Example("llave mine classical -d pairs.jsonl -o mined.jsonl --group 16", "larger groups for batches=similar"),
    ),
    "diagnose": (
        Example("llave diagnose classical -t demo-object demo-color", "two tasks"),
        Example("llave diagnose classical -s demo --plot similarity.png", "a plot of a whole suite"),
        Example("llave diagnose classical --recipe demo", "the training pairs of a recipe"),
    ),
    "curves": (
        Example("llave curves runs/results/classical", "all results of a model"),
        Example("llave curves runs/results/mine -d MMEB-eval --widths 256 512", "data of your own, two widths"),
        Example("llave curves runs/results/classical --plot curves.png", "a plot beside the table"),
    ),
    "sensitivity": (
        Example("llave sensitivity classical -s demo", "every switch on a suite"),
        Example("llave sensitivity llave-2b -t MSRVTT_t2v --switch frames", "8, 16 and 64 frames"),
        Example("llave sensitivity classical -t demo-object --switch scope --switch rule", "two switches"),
    ),
    "contamination": (
        Example("llave contamination --train demo -s demo", "the demo's training pairs against its tasks"),
        Example("llave contamination --train MMEB-train -s mmeb --results runs/results", "with scores without overlap"),
        Example("llave contamination --train pairs.jsonl -d questions.jsonl", "your own files"),
    ),
    "agree": (
        Example("llave agree classical null/random", "two models that were evaluated"),
        Example("llave agree runs/results --queries 50", "all models of a folder"),
        Example("llave agree runs/results --format json", "every query that all get wrong"),
    ),
    "power": (
        Example("llave power --baseline runs/results/classical --difference 1", "what one point needs"),
        Example("llave power --baseline old --against new", "from the differences of two models"),
        Example("llave power --baseline old --runs seed-1 seed-2 seed-3", "how many seeds"),
    ),
    "seeds": (
        Example("llave seeds runs/demo-text-infonce runs/demo-text", "two recipes over their seeds"),
        Example("llave seeds runs/a runs/b --plot learning.png", "with a plot of the learning curves"),
        Example("llave seeds runs/a runs/b --format json", "the differences of every seed"),
    ),
    "train": (
        Example("llave train demo", "a small LLaVE, in a minute on a CPU"),
        Example("llave train demo-text --seeds 3", "three runs of a recipe, each with another seed"),
        Example("llave train llave-2b -d MMEB-train --dry-run", "the size of a run, before it is paid for"),
    ),
    "doctor": (
        Example("llave doctor classical", "all checks"),
        Example("llave doctor llave-2b --known-answers cat.jpg", "with LLaVE's published similarities"),
        Example("llave doctor my_models:Mine --json", "a class of your own, for a script"),
    ),
    "embed": (
        Example("llave embed classical items.jsonl -o vectors.safetensors", "one vector for each line"),
        Example("llave embed clip-vit-base-patch32 items.jsonl -o v.safetensors --root photos", "images elsewhere"),
        Example("llave embed classical items.jsonl -o v.safetensors --on-bad-media skip", "leave out broken images"),
    ),
    "models": (
        Example("llave models", "all names that can be given to `llave run`"),
        Example("llave models --json", "the same for a script"),
        Example("llave help environment", "where models from the hub are kept"),
    ),
    "suites": (
        Example("llave suites", "all suites, and what each needs"),
        Example("llave suites --json", "the same for a script"),
        Example("llave tasks -s demo", "the tasks of one suite"),
    ),
    "tasks": (
        Example("llave tasks", "all tasks"),
        Example("llave tasks GQA", "all that is known of one task"),
        Example("llave tasks -s mmeb --meta-task vqa --split OOD", "some tasks of a suite"),
    ),
    "store": (
        Example("llave store list", "the models whose vectors are stored"),
        Example("llave store check", "read every vector; status 1 if a file is damaged"),
        Example("llave store prune classical --dry-run", "what would be removed"),
    ),
    "show": (
        Example("llave show runs/results/classical/1/demo-object.json", "a score and its ten worst queries"),
        Example("llave show runs/results/classical/1/demo-object.json --worst 3", "the three worst"),
        Example("llave show runs/results/classical/1/demo-object.json --worst 0", "only the score"),
    ),
    "export": (
        Example("llave export runs/results/mine --format mmeb -o mine.json", "for the public leaderboard"),
        Example("llave export runs/results -o exported --protocol strict", "a file for each model"),
        Example("llave export runs/results/mine --format model-card -o card.md", "for a model card"),
    ),
    "import": (
        Example("llave import scores.json", "a score file of the public leaderboard"),
        Example("llave import scores -o runs/imported", "a folder of them"),
        Example("llave import scores.json --model mine", "a file without the model's name"),
    ),
    "validate": (
        Example("llave validate runs/results/mine", "every score again, and what MMEB lacks"),
        Example("llave validate runs/results -s demo", "of another suite"),
        Example("llave validate runs/results/mine --most 5", "only the first problems"),
    ),
    "bundle": (
        Example("llave bundle runs/results -o results.zip", "results in one file"),
        Example("llave bundle runs/results -o results.zip --pictures", "with small pictures of the queries"),
        Example("llave bundle runs/results/mine runs/imported -o all.zip --vectors", "imported scores and vectors"),
    ),
    "push": (
        Example("llave push runs/results/mine --repo org/mine", "what would be sent; nothing is"),
        Example("llave push runs/results/mine --repo org/mine --open", "open the pull request"),
        Example("llave push runs/results --model mine --repo org/mine", "one of several models"),
    ),
    "completion": (
        Example("llave completion bash > ~/.local/share/bash-completion/completions/llave", "for bash"),
        Example("llave completion zsh > ~/.zfunc/_llave", "for zsh, with ~/.zfunc in fpath"),
        Example("llave completion fish > ~/.config/fish/completions/llave.fish", "for fish"),
    ),
    "help": (
        Example("llave help", "all commands"),
        Example("llave help run", "the options of a command"),
        Example("llave help environment", "variables that are read"),
    ),
}


def shown(command: str) -> str:
    """The examples of a command as the end of its help."""
    lines = [f"  {each.command}\n      {each.does}" for each in EXAMPLES[command]]
    return "\n".join(("examples:", *lines))
