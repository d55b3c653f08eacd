"""The environment variables that the program reads, and those by which its libraries are told where things are."""

from __future__ import annotations

from typing import NamedTuple


class Variable(NamedTuple):
    """A variable, what holds without it, and what it is for."""

    name: str
    without: str
    what: str


READ = (
    Variable("LLAVE_CACHE", "llave-bench in XDG_CACHE_HOME", "folder for files that can be made again"),
    Variable("XDG_CACHE_HOME", "~/.cache", "folder of the caches of all programs"),
    Variable("COLUMNS", "the terminal's width", "width of tables and of help, in characters"),
    Variable("PYTHONIOENCODING", "that of the locale", "encoding of what is printed"),
    Variable("TRANSFORMERS_VERBOSITY", "error", "how much transformers says"),
    Variable("HF_HUB_DISABLE_PROGRESS_BARS", "1 away from a terminal", "1: no bars while files are downloaded"),
    Variable("SOURCE_DATE_EPOCH", "now", "seconds since 1970: the date that a page says it was made at"),
    Variable("RANK", "0", "number of this process among several; the launcher sets it"),
    Variable("LOCAL_RANK", "one process", "number of this process on its machine; the launcher sets it"),
    Variable("WORLD_SIZE", "1", "number of processes; the launcher sets it"),
    Variable("MASTER_ADDR", "set by the launcher", "address of the first of several machines"),
    Variable("MASTER_PORT", "set by the launcher", "port on that machine"),
    Variable("TORCHELASTIC_RESTART_COUNT", "0", "number of restarts of the processes; `torchrun` sets it"),
    Variable("LLAVE_PATIENCE", "30", "minutes that one of several processes may stand still"),
    Variable("ACCELERATE_USE_DEEPSPEED", "false", "true: train with DeepSpeed; `accelerate launch` sets it"),
    Variable("ACCELERATE_USE_FSDP", "false", "true: train with FSDP; `accelerate launch` sets it"),
    Variable("FSDP_VERSION", "1", "version of FSDP; 2 is needed, and `accelerate launch` sets it"),
    Variable("PYTHONHASHSEED", "random", "seed of Python's `hash`; `llave doctor` loads once under another"),
)
"""Variables that this code reads. A test finds them in the source."""

OF_LIBRARIES = (
    Variable("HF_HOME", "~/.cache/huggingface", "folder of models and data from the hub, and of the login"),
    Variable("HF_HUB_CACHE", "hub in HF_HOME", "folder of the files from the hub alone"),
    Variable("HF_TOKEN", "that of `hf auth login`", "token for gated and private models"),
    Variable("HF_HUB_OFFLINE", "0", "1: never ask the hub, use what is in the cache"),
    Variable("HF_ENDPOINT", "https://huggingface.co", "address of the hub, or of a mirror"),
    Variable("CUDA_VISIBLE_DEVICES", "all GPUs", "GPUs that may be used, such as 0,1"),
)
"""Variables that huggingface_hub, torch and accelerate read."""

KEYS = tuple(
    Variable(f"{name}_API_KEY", "no key is sent", f"key of servers: {dialects}")
    for name, dialects in (
        ("OPENAI", "openai"),
        ("VLLM", "vllm, vllm-chat and vllm-pooling"),
        ("CO", "cohere"),
        ("JINA", "jina"),
        ("VOYAGE", "voyage"),
        ("GEMINI", "gemini"),
    )
)
"""Variables with keys of servers; `--model-option key=NAME` names another one."""


PAGE = "environment"
"""The topic of `llave help` that lists them."""


def page() -> str:
    """All variables as text of at most 80 columns."""
    groups = {"Read by llave": READ, "Read by libraries": OF_LIBRARIES, "Keys of servers": KEYS}
    return "\n\n".join(f"{title}:\n\n{_listed(variables)}" for title, variables in groups.items())


def _listed(variables: tuple[Variable, ...]) -> str:
    return "\n".join(f"  {each.name}\n      {each.what}\n      (default: {each.without})" for each in variables)
