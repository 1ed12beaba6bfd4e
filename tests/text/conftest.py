"""What the tests of tokenizers share."""

import json
import random

import pytest

from tfzoo.text.byte_level_bpe import byte_alphabet

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PIECES = (
    "the cat sat on mat a b x un ##aff ##able ##ing ##s ##a ##b ##x cafe café ! ? . , ' \" - ( ) "
    "[ ] sep mask cl ##k don t i ' m s e ##e é ##é ό σ ##σ ##ς ß ss 中 国 中国 ##国 “ ” … २ ##½ ½ "
    "hello world 3 ##3 [unused1] … # naive naïve Hello The CAT ##T"
)

# Ranges of code points, plain ASCII more often than the others, then what tokenizers stumble over:
# controls, combining marks, scripts with and without case, private use, ideographs, unassigned.
BLOCKS = (
    *[(0x20, 0x7F)] * 6,
    *[(0, 0x20), (0x7F, 0xA0), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x400), (0x400, 0x530)],
    *[(0x590, 0x700), (0x900, 0xE00), (0xE00, 0xF00), (0x1100, 0x1200), (0x1E00, 0x2000)],
    *[(0x2000, 0x2070), (0x2070, 0x2300), (0x2E40, 0x2E80), (0x3000, 0x3100), (0x3400, 0x3500)],
    *[(0x4E00, 0x5200), (0xAC00, 0xB000), (0xE000, 0xE010), (0xF900, 0xFB00), (0xFE00, 0xFFFF)],
    *[(0x1F300, 0x1FA00), (0x2B810, 0x2B930), (0xF0000, 0xF0200), (0x1D150, 0x1D164)],
    *[(0x11400, 0x11700), (0xE0000, 0xE0200), (0x10FF00, 0x110000)],
)
SPACES = " \t\n\r\u00a0\u2003\u3000\u200b\u200d\ufeff\u0085\u2028\x0b\x00\ufffd\u00ad"
LITERALS = (*SPECIAL, "[sep]", "[SE", "P]", "[[SEP]]", "##", "##ing", "[unused1]", "]", "[")


@pytest.fixture(scope="session")
def vocabulary():
    """A vocabulary of some hundred tokens."""
    return tuple(dict.fromkeys((*SPECIAL, *PIECES.split())))


@pytest.fixture(scope="session")
def fuzz():
    """fuzz(seed, count, words) -> strings of everything that a text could hold."""

    def piece(chance, words):
        kind = chance.random()
        if kind < 0.35:
            return chance.choice(words).replace("##", "")
        if kind < 0.45:
            return chance.choice(LITERALS)
        if kind < 0.6:
            return chance.choice(SPACES)
        if kind < 0.62:
            block = chance.choice(BLOCKS[:9])
            return chr(chance.randrange(*block)) * chance.choice([99, 100, 101, 102])
        if kind < 0.63:
            return "ab" * chance.choice([49, 50, 51]) + chance.choice(["", "c", "é", "e\u0301"])
        block = chance.choice(BLOCKS)
        return "".join(chr(chance.randrange(*block)) for _ in range(chance.randrange(1, 6)))

    def texts(seed, count, words):
        chance = random.Random(seed)
        made = (
            "".join(
                piece(chance, words) + " " * (chance.random() < 0.4)
                for _ in range(chance.randrange(14))
            )
            for _ in range(count)
        )
        return ["".join(c for c in text if not "\ud800" <= c <= "\udfff") for text in made]

    return texts


@pytest.fixture(scope="session")
def hugging_face(tmp_path_factory):
    """hugging_face(vocabulary, **options of BertTokenizerFast) -> that tokenizer."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("vocabularies")

    def make(vocabulary, **options):
        path = folder / "vocab.txt"
        path.write_bytes("".join(f"{token}\n" for token in vocabulary).encode())
        return transformers.BertTokenizerFast(vocab=str(path), **options)

    return make


@pytest.fixture
def folder(tmp_path):
    """folder(name=contents) -> a folder with these files; mappings are written as JSON."""

    def make(**files):
        for name, contents in files.items():
            path = tmp_path / {
                "vocab": "vocab.txt",
                "tokenizer": "tokenizer.json",
                "config": "tokenizer_config.json",
                "special": "special_tokens_map.json",
                "added": "added_tokens.json",
            }.get(name, name)
            if isinstance(contents, bytes):
                path.write_bytes(contents)
            else:
                text = contents if isinstance(contents, str) else json.dumps(contents)
                path.write_text(text, encoding="utf-8")
        return tmp_path

    return make


@pytest.fixture(scope="session")
def byte_level():
    """Vocabulary and merges of a small byte-level BPE, written as GPT-2 writes them."""
    merges = (
        "Ġ t|h e|Ġt he|c a|ca t|Ġ cat|l l|' ll|' s|a a|aa aa|e r|Ġ Ġ|ĠĠ ĠĠ|Ã ©|ä ¸|ä¸ Ń|1 2"
        "|Ċ Ċ|< /|o n|Ġ on|. .|.. .|e Ġ|a t|s at"
    )
    merges = [tuple(pair.split(" ")) for pair in merges.split("|")]
    tokens = [*byte_alphabet(), *("".join(pair) for pair in merges)]
    return ("<s>", "<pad>", "</s>", "<unk>", *tokens, "<mask>"), merges
