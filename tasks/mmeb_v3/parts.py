"""The 112 tasks that MMEB-V3 adds, by family, and why some of them cannot be run.

Sources: arXiv 2604.23321; TIGER-AI-Lab/VLM2Vec, PR #205 at 1e402c47. Names of tasks are FAMILY_MEMBER.
"""

from __future__ import annotations

from collections.abc import Mapping

READ: Mapping[str, tuple[str, ...]] = {
    "BRIGHT": (
        *("aops", "biology", "earth_science", "economics", "leetcode", "pony", "psychology", "robotics"),
        *("stackoverflow", "sustainable_living", "theoremqa_questions", "theoremqa_theorems"),
    ),
    "FollowIR": ("core17-instructions", "news21-instructions", "robust04-instructions"),
    "NanoBEIR": (
        *("NanoArguAna", "NanoClimateFEVER", "NanoDBPedia", "NanoFEVER", "NanoFiQA2018", "NanoHotpotQA"),
        *("NanoMSMARCO", "NanoNFCorpus", "NanoNQ", "NanoQuoraRetrieval", "NanoSCIDOCS", "NanoSciFact"),
        "NanoTouche2020",
    ),
    "R2MED": (
        *("Biology", "Bioinformatics", "Medical-Sciences", "MedXpertQA-Exam", "MedQA-Diag", "PMC-Treatment"),
        *("PMC-Clinical", "IIYi-Clinical"),
    ),
}
"""The families of texts whose files are public knowledge."""

_UNREAD: Mapping[str, tuple[str, ...]] = {
    "InfoSearch": ("Audience-v1", "Clarity-v1", "Format-v1", "Language-v1", "Length-v1", "Source-v1"),
    "LongEmbed": ("2wikimqa", "narrativeqa", "needle", "passkey", "qmsum", "summ_screen_fd"),
    "MultiConIR": tuple(f"set-{number}" for number in range(1, 6)),
}
_TOOLS: Mapping[str, tuple[str, ...]] = {
    "ToolDe": tuple(
        f"{category}-{number}"
        for category, count in {"web": 19, "code": 7, "customized": 9}.items()
        for number in range(1, count + 1)
    )
}
_GUI: Mapping[str, tuple[str, ...]] = dict.fromkeys(("GAE-GUIAct", "GAE-Mind2Web"), ("q2t", "q2s", "s2s", "t2s"))
_MEMORY: Mapping[str, tuple[str, ...]] = {"LMEB": ("KnowMeBench", "REALTALK", "PeerQA", "DeepPlanning")}
AUDIO = (
    *("NSynth", "ESC-50", "UrbanSound8K", "SpeechCommands", "CREMA-D", "SoundDescs", "Clotho", "AVE", "SpeechCOCO"),
    *("TUTSound", "TUTSound-hard"),
)


def named(families: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The names of the tasks of families."""
    return tuple(f"{family}_{member}" for family, members in families.items() for member in members)


GROUPS: Mapping[str, tuple[str, ...]] = {
    "text": (*named(READ), *named(_UNREAD)),
    "agent-tools": named(_TOOLS),
    "agent-gui": named(_GUI),
    "agent-memory": named(_MEMORY),
    "audio": AUDIO,
    "omni": ("MCMR",),
}
"""The new tasks by group: 53, 35, 8, 4, 11 and 1. Names of members with a number are not known."""

_FILES = "the names of its files are not public"
_WHY: Mapping[str, str] = {
    "agent-tools": "the names of its tasks, and the columns of its tools, are not public",
    "agent-gui": "it is not public how its files are named and how its rows make pools",
    "agent-memory": "no public code reads it",
    "audio": "it needs audio, which no model takes here",
    "omni": "the columns of its files and its metric are not public",
}
LACKING: Mapping[str, str] = {
    **dict.fromkeys(named(_UNREAD), _FILES),
    **{name: why for group, why in _WHY.items() for name in GROUPS[group]},
}
"""The tasks that cannot be run, and why. So no mean over all of MMEB-V3 is ever complete."""
