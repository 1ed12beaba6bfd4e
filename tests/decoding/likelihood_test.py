"""The likelihood of tokens is that of the whole model's logits, piece by piece or all at once."""

import numpy as np
import pytest
import tensorflow as tf

import tfzoo
from tfzoo.decoding import likelihood
from tfzoo.testing.values import fill, near

VOCABULARY = 11
TABLE = np.random.default_rng(1).normal(size=(4, VOCABULARY)).astype("float32")


def windows(lengths, firsts, size, stride):
    found = likelihood.windows(tf.constant(lengths), tf.constant(firsts), size, stride)
    return list(zip(*(part.numpy().tolist() for part in found), strict=True))


def test_a_long_text_is_read_in_pieces_as_the_picture_says():
    assert windows([10], [1], 4, 2) == [(0, 0, 1, 4), (0, 2, 4, 6), (0, 4, 6, 8), (0, 6, 8, 10)]
    assert windows([9], [0], 4, 2)[-1] == (0, 6, 8, 9)


def test_a_context_loses_its_beginning_only_where_there_is_no_room():
    assert windows([4], [3], 4, 2) == [(0, 0, 3, 4)]
    assert windows([10], [9], 4, 2) == [(0, 6, 9, 10)]  # as much of it as fits
    assert windows([10], [8], 4, 2) == [(0, 6, 8, 10)]
    assert windows([10], [7], 4, 2) == [(0, 5, 7, 9), (0, 7, 9, 10)]


def test_a_text_with_nothing_to_score_has_no_piece():
    assert windows([0, 1, 5, 3], [0, 1, 5, 1], 4, 2) == [(3, 0, 1, 3)]


def test_every_token_is_scored_once_with_context_enough():
    chance = np.random.default_rng(2)
    for _ in range(30):
        size = int(chance.integers(2, 9))
        stride = int(chance.integers(1, size))
        lengths = chance.integers(0, 30, 6)
        firsts = chance.integers(0, lengths + 2)
        seen = [[] for _ in lengths]
        for row, begin, first, end in windows(lengths.tolist(), firsts.tolist(), size, stride):
            assert 0 <= begin < first < end <= begin + size
            for place in range(first, end):
                context = place - begin
                assert context >= min(place, size - stride)
                seen[row].append(place)
        wanted = [list(range(max(f, 1), n)) for n, f in zip(lengths, firsts, strict=True)]
        assert seen == wanted


def logits(x_btd):
    return tf.matmul(x_btd, TABLE[None])


def dense(x_btd, labels_bt, counted_bt):
    """The same from all logits, in float64."""
    wide = np.asarray(x_btd, "float64") @ TABLE.astype("float64")
    log = wide - np.log(np.exp(wide).sum(-1, keepdims=True))
    own = np.take_along_axis(log, labels_bt[..., None], 2)[..., 0]
    right = (wide.argmax(-1) == labels_bt) & counted_bt
    return (own * counted_bt).sum(1), counted_bt.sum(1), right.sum(1)


@pytest.fixture(scope="module")
def some():
    chance = np.random.default_rng(3)
    x_btd = chance.normal(size=(3, 400, 4)).astype("float32")
    labels_bt = chance.integers(0, VOCABULARY, (3, 400)).astype("int32")
    counted_bt = chance.random((3, 400)) < 0.7
    counted_bt[1] = False
    return x_btd, labels_bt, counted_bt


def test_the_sums_are_those_of_all_logits(some):
    found = likelihood.of_tokens(logits, *some)
    log, tokens, right = dense(*some)
    np.testing.assert_allclose(found["log_likelihood"], log, rtol=1e-6)
    assert found["num_tokens"].numpy().tolist() == tokens.tolist()
    assert found["num_right"].numpy().tolist() == right.tolist()
    assert tokens[1] == 0 < right[0]


def test_only_what_counts_is_scored_and_little_of_it_at_once(some):
    seen = []

    def watched(x_btd):
        seen.append(x_btd.shape[1])
        return logits(x_btd)

    likelihood.of_tokens(watched, *some)
    assert seen == [512, some[2].sum() - 512]


@pytest.fixture(scope="module")
def model():
    sizes = {"num_layers": 1, "num_heads": 2, "width": 16, "max_length": 12}
    built = tfzoo.build("gpt2", vocab_size=30, initializer_range=0.3, **sizes)
    fill(built)
    return built


def reader(built):
    features = built.features()
    return lambda ids, mask: features({"token_ids": ids, "padding_mask": mask})["sequence"]


TEXTS = [np.random.default_rng(i).integers(0, 30, n).tolist() for i, n in enumerate((29, 3, 1, 0))]


def test_texts_of_any_length_are_scored_in_one_graph(model, monkeypatch):
    read = reader(model)
    wanted = []
    for text in TEXTS:
        log = 0.0
        for _, begin, first, end in windows([len(text)], [1], 12, 6):
            ids = np.array([text[begin:end]], "int32")
            wide = model({"token_ids": ids, "padding_mask": np.ones_like(ids)})["logits"]
            log_tv = tf.nn.log_softmax(wide)[0].numpy()
            log += sum(log_tv[i - 1, text[begin + i]] for i in range(first - begin, end - begin))
        wanted.append(log)

    def run(ids, firsts):
        return likelihood.of_texts(read, model.logits, ids, firsts, 12, 6)

    ids = tf.ragged.constant(TEXTS, tf.int32)
    spec = [tf.RaggedTensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)]
    for tokens in (4096, 24):  # all pieces at once, and two
        monkeypatch.setattr(likelihood, "_TOKENS", tokens)
        graph = tf.function(run, input_signature=spec, autograph=False)
        found = graph(ids, tf.ones([4], tf.int32))
        np.testing.assert_allclose(found["log_likelihood"], wanted, rtol=1e-5)
        assert found["num_tokens"].numpy().tolist() == [28, 2, 0, 0]


def test_a_row_does_not_depend_on_its_neighbours_or_on_what_stands_behind_it(model):
    read = reader(model)
    ids = np.random.default_rng(5).integers(0, 30, (3, 9)).astype("int32")
    lengths, firsts = tf.constant([9, 5, 2]), tf.constant([4, 1, 1])
    together = likelihood.of_windows(read, model.logits, ids, lengths, firsts)
    for row, length in enumerate(lengths.numpy()):
        alone = likelihood.of_windows(
            read, model.logits, ids[row : row + 1, :length], [length], firsts[row : row + 1]
        )
        near(together["log_likelihood"][row], alone["log_likelihood"][0], 1e-5)


@pytest.mark.parity
@pytest.mark.parametrize("stride", [8, 5])
def test_perplexity_is_that_of_the_guide_of_transformers(tmp_path, stride):
    import torch

    from tests.models.parity import Case, draw

    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 16, "vocab_size": 50}
    theirs = draw(Case("GPT2LMHeadModel", sizes), 1)
    theirs.save_pretrained(tmp_path / "gpt2")
    ids = torch.randint(50, (1, 71), generator=torch.Generator().manual_seed(2))
    nats, count, last_end = 0.0, 0, 0
    for begin in range(0, 71, stride):
        end = min(begin + 16, 71)
        target = ids[:, begin:end].clone()
        target[:, : last_end - begin if last_end else 0] = -100
        with torch.no_grad():
            mean = theirs(ids[:, begin:end], labels=target).loss
        # The model moves the labels by one; the guide takes one off for that in every piece.
        scored = int((target[:, 1:] != -100).sum())
        nats, count, last_end = nats + float(mean) * scored, count + scored, end
        if end == 71:
            break
    ours = tfzoo.load(f"hf:{tmp_path / 'gpt2'}").model
    text = tf.RaggedTensor.from_tensor(ids.numpy().astype("int32"))
    found = likelihood.of_texts(reader(ours), ours.logits, text, tf.constant([1]), 16, stride)
    assert int(found["num_tokens"][0]) == count == 70
    log = float(found["log_likelihood"][0])
    assert np.exp(-log / 70) == pytest.approx(np.exp(nats / count), rel=1e-5)
