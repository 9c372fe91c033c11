"""Numbers of numpy's where Python's are taken, and words for what is none."""

import numpy as np
import pytest
import torch

from attn_course import data, translation
from attn_course import detection_segmentation as det
from attn_course import image_attention as image
from attn_course import interpreting_attention as reading
from attn_course import recommendation as rec
from attn_course import reinforcement_learning as rl
from attn_course import rnn_cnn_attention as tagging
from attn_course import scaled_dot_product as scaled
from attn_course import text_classification as texts
from attn_course.additive_attention import EncoderDecoder
from attn_course.common import arguments, batching
from attn_course.efficient_attention import DecoderLM, tiled_attention
from attn_course.multi_head_attention import MultiHeadAttention
from attn_course.training import fit
from attn_course.transformer import Transformer

HISTORIES = [[1, 2, 3, 4], [2, 3, 4, 5], [1, 3, 5, 2]]


def rows(plan=batching.shuffled_batches):
    return lambda i, f: batching.epoch_batches(
        lambda generator, _: plan(i(9), i(2), generator), seed=i(3)
    )(i(5))


def bucketed(i, f):
    generator = torch.Generator().manual_seed(0)
    order = torch.arange(9)
    return batching.bucketed_batches(order, order, i(2), generator, pool=i(2))


def scenes(i, f):
    pictures = torch.full((2, 8, 8), 200, dtype=torch.uint8)
    return det.compose(
        pictures,
        torch.tensor([0, 1]),
        i(4),
        seed=i(1),
        objects=(i(1), i(2)),
        sizes=(f(5), f(9)),
        visible=f(0.5),
        pieces=i(1),
        side=i(16),
        tries=i(2),
    )


def detected(i, f):
    torch.manual_seed(0)
    options = {"dim": 16, "heads": 2, "mlp_dim": 16, "side": i(16)}
    model = det.Detector(i(2), queries=i(4), groups=i(2), **options)
    made = scenes(int, float)
    found = det.detect(model, made.images, f(0.25), batch_size=i(3))
    output = model(made.images, groups=i(2))
    losses = det.set_loss(output, made, groups=i(2), no_object_weight=f(0.25))
    return [x.scores for x in found], losses.total()


def trained(i, f):
    torch.manual_seed(0)
    model = torch.nn.Linear(2, 1)
    return fit(
        model,
        lambda model, x: model(x).square().mean(),
        lambda step: torch.full((3, 2), step + 1.0),
        steps=i(6),
        lr=f(0.125),
        warmup=i(2),
        weight_decay=f(0.5),
        max_grad_norm=f(1),
        evaluate=lambda model: {"a": f(1)},
        eval_every=i(2),
        patience=i(2),
        seed=i(1),
        threads=i(1),
    ).losses


def dropped(i, f):
    x = torch.ones(2, 5, 16)
    torch.manual_seed(0)
    model = MultiHeadAttention(i(16), i(4), dropout=f(0.25)).train()
    return model(x)[0]


def episodes(i, f):
    policy = rl.linear_policy([1.0, 1, 1, 1], noise=f(0.5), seed=i(1))
    played = rl.collect_episodes(policy, i(3), seed=i(2))
    windows = rl.window_batches(played, context=i(4), size=i(2), seed=i(1))
    return played.states, windows(i(0))[0]


def written(i, f):
    torch.manual_seed(0)
    model = Transformer(i(9), i(9), i(16), i(4), i(1), dropout=f(0.25))
    source = torch.tensor([[4, 5, 6]])
    return translation.beam_search(
        model, source, i(4), beam_size=i(2), length_penalty=f(0.5)
    )


def language_model(i, f):
    torch.manual_seed(0)
    model = DecoderLM(i(9), i(16), i(4), i(1), i(2), window=i(3))
    return model(torch.tensor([[4, 5, 6]]))


def recurrent(i, f):
    torch.manual_seed(0)
    model = EncoderDecoder(i(9), i(9), i(16), attention="additive")
    return model(torch.tensor([[4, 5, 6]]), torch.tensor([[4, 5]]))


PICTURES = torch.arange(4 * 64.0).view(4, 1, 8, 8)
TOKENS = torch.arange(4, 24).view(4, 5)
CALLS = {
    "epochs": rows(),
    "buckets": bucketed,
    "padding": lambda i, f: batching.pad(np.array([[1, 2], [3, 4]], i)),
    "a sample": lambda i, f: data.sample(range(9), i(3), seed=i(1)),
    "scenes": lambda i, f: vars(scenes(i, f)),
    "batches of scenes": lambda i, f: vars(
        det.scene_batches(scenes(int, float), i(2), i(1))(i(3))
    ),
    "a detector": detected,
    "training": trained,
    "dropout": dropped,
    "episodes": episodes,
    "beam search": written,
    "a language model": language_model,
    "a recurrent network": recurrent,
    "batches of pairs": lambda i, f: translation.BucketBatches(
        [([4, 5], [6]), ([4], [7, 8])], i(1), seed=i(1), pool=i(2)
    )(i(0)),
    "cards": lambda i, f: tagging.Curriculum(
        i(4), cards=i(4), stages=(i(8), i(16)), exams=i(3), seed=i(1)
    ).batches(i(0)),
    "flipped images": lambda i, f: image.augmented_batches(
        PICTURES, torch.arange(4), i(2), i(1)
    )(i(0)),
    "an occluded image": lambda i, f: image.occlude(
        PICTURES, i(1), i(2), i(3), f(0.5)
    ),
    "shuffled patches": lambda i, f: image.shuffle_patches(
        PICTURES, i(4), i(1)
    ),
    "predicted images": lambda i, f: image.predict(
        torch.nn.Flatten(), PICTURES, chunk=i(3)
    ),
    "shuffled words": lambda i, f: texts.shuffle_words(TOKENS, i(1)),
    "batches of texts": lambda i, f: texts.text_batches(
        TOKENS, torch.arange(4), i(2), i(1)
    )(i(0)),
    "permuted weights": lambda i, f: reading.permute_weights(
        torch.eye(5), seed=i(1)
    ),
    "negatives": lambda i, f: rec.sample_negatives(
        HISTORIES, [i(5), i(1), i(4)], i(9), count=i(2), seed=i(1)
    ),
    "histories": lambda i, f: rec.leave_last_out(
        [[i(item) for item in history] for history in HISTORIES]
    ),
    "batches of histories": lambda i, f: rec.history_batches(
        HISTORIES, max_length=i(4), size=i(2), seed=i(1), shuffle=True
    )(i(0)),
    "scores": lambda i, f: scaled.score_statistics(
        i(4), scale=f(0.5), keys=i(5), queries=i(3), seed=i(1)
    ),
}


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
@pytest.mark.parametrize("name", CALLS)
def test_numpys_numbers_do_what_pythons_do(name, kind, own_errors):
    expected = CALLS[name](int, float)
    found = CALLS[name](kind, np.float32)
    torch.testing.assert_close(
        plain(found), plain(expected), rtol=1e-6, atol=1e-6
    )


def plain(x):
    """Give lists of tensors and numbers, which torch can compare."""
    if isinstance(x, dict):
        return [plain(part) for part in x.values()]
    if isinstance(x, (list, tuple)):
        return [plain(part) for part in x]
    return x


COUNTS = {
    "check_at_least": (lambda x: arguments.check_at_least(1, heads=x), 1),
    "check_positive": (lambda x: arguments.check_positive(heads=x), 0.5),
    "check_even": (lambda x: arguments.check_even(heads=x), 2),
    "check_dropout": (lambda x: arguments.check_dropout(heads=x), 0.5),
    "whole_number": (lambda x: arguments.whole_number("heads", x), 3),
}


@pytest.mark.parametrize("odd", [None, "4", [4], (4, 4), {}, -1, float("nan")])
@pytest.mark.parametrize("check", COUNTS)
def test_what_is_no_number_is_refused_in_words(check, odd, own_errors):
    call, right = COUNTS[check]
    for number in (right, np.array(right)[()]):
        call(number)
    with pytest.raises(ValueError, match="heads: expected .* got ") as caught:
        call(odd)
    assert str(caught.value).endswith(repr(odd))


@pytest.mark.parametrize("odd", [True, 2.0, np.float32(2), "2", None])
def test_what_is_no_whole_number_is_refused_in_words(odd, own_errors):
    for name, call in (
        ("seed", lambda: texts.shuffle_words(TOKENS, odd)),
        ("seed", lambda: batching.epoch_batches(lambda *_: [0], seed=odd)),
        ("step", lambda: batching.epoch_batches(lambda *_: [0])(odd)),
    ):
        with pytest.raises(ValueError, match=f"{name}: .* whole number"):
            call()


@pytest.mark.parametrize("odd", [2, None, (2,), (2, 0), "22"])
def test_an_odd_block_size_is_refused_in_words(odd, own_errors):
    x = torch.ones(1, 3, 4)
    with pytest.raises(ValueError, match="block_size: expected two numbers"):
        tiled_attention(x, x, x, block_size=odd)
