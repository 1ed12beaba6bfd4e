import dataclasses
import importlib
import pkgutil

import pytest

from tfzoo import models
from tfzoo.core.cards import Card

MODULES = {m.name: importlib.import_module(f"tfzoo.models.{m.name}") for m in
           pkgutil.iter_modules(models.__path__) if m.name in models.names()}  # fmt: skip
CARDS = [(name, card) for name, module in MODULES.items() for card in module.PRETRAINED]


def test_a_card_cannot_be_changed():
    card = Card("hf:a/b", "MIT", "base", 1, "cased")
    with pytest.raises(dataclasses.FrozenInstanceError):
        card.parameters = 2


@pytest.mark.parametrize(("name", "card"), CARDS)
def test_a_card_says_where_the_checkpoint_is_and_what_may_be_done_with_it(name, card):
    assert card.source.startswith("hf:")
    assert card.licence
    assert card.variant in MODULES[name].VARIANTS
    assert card.tokenizer in ("cased", "uncased")
    assert card.parameters > 0
