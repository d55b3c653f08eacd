"""The recipes by name. A recipe is a function that returns a config."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.errors import unknown_name
from trainers.config import TrainingConfig
from trainers.recipes.demo import demo, demo_infonce, demo_text, demo_text_infonce
from trainers.recipes.llave import infonce_05b, infonce_2b, infonce_7b, llave_05b, llave_2b, llave_7b

RECIPES: Mapping[str, Callable[[], TrainingConfig]] = {
    "demo": demo,
    "demo-infonce": demo_infonce,
    "demo-text": demo_text,
    "demo-text-infonce": demo_text_infonce,
    "llave-0.5b": llave_05b,
    "llave-2b": llave_2b,
    "llave-7b": llave_7b,
    "infonce-0.5b": infonce_05b,
    "infonce-2b": infonce_2b,
    "infonce-7b": infonce_7b,
}


def find_recipe(name: str) -> TrainingConfig:
    """The config of a recipe. Raises UserError for an unknown name, with close names."""
    if name not in RECIPES:
        raise unknown_name("recipe", name, RECIPES, f"Choose from {', '.join(RECIPES)}.")
    return RECIPES[name]()
