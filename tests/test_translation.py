"""Lesson 07's module, data and views: pieces, beams, metrics, the desk."""

import itertools
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import sacrebleu
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from attn_course import data, training
from attn_course import translation as lesson
from attn_course.additive_attention import EncoderDecoder
from attn_course.common.evaluation import evaluating
from attn_course.common.seq2seq import (
    Memory,
    greedy_decode,
    sequence_loss,
    shift_right,
)
from attn_course.common.tokens import BOS, EOS, PAD, UNK
from attn_course.data import sentences
from attn_course.transformer import Transformer
from attn_course.widgets import translation as views

FOLDER = Path(data.__file__).parent
SPLITS = {
    (language, split): sentences.load(language, split)
    for language in sentences.LANGUAGES
    for split in sentences.SPLITS
}


@pytest.fixture(scope="module")
def build(build_script):
    """The script that made the pairs, as a module."""
    return build_script("sentences")


# --- the data ---------------------------------------------------------------


def test_counts_are_those_of_the_card():
    card = (FOLDER / "sentences" / "CARD.md").read_text("utf-8")
    for language, row in (("fr", "French"), ("zh", "Chinese")):
        (line,) = [x for x in card.splitlines() if x.startswith(f"| {row} |")]
        counts = [
            int(x.replace(",", "")) for x in re.findall(r"\d[\d,]*", line)
        ]
        found = [len(SPLITS[language, s]) for s in ("train", "valid", "test")]
        assert counts == found


def test_licences_of_all_packages_stand_beside(build):
    text = (FOLDER / "sentences" / "LICENSE.txt").read_text("utf-8")
    for package, version, *_ in build.PACKAGES:
        assert f"===== {package} {version} =====" in text
    for words in (
        "Redistribution and use",
        "Permission is hereby granted",
        "Apache License",
    ):
        assert words in text


@pytest.mark.parametrize("language", sentences.LANGUAGES)
def test_no_two_parts_share_a_near_pair(language, build):
    seen = [SPLITS[language, s] for s in ("test", "valid", "train")]
    for number, held_out in enumerate(seen[:2]):
        keys = {build.key(x) for pair in held_out for x in pair[:2]}
        bags = [build.words(pair.source) for pair in held_out]
        index = {}
        for row, bag in enumerate(bags):
            for word in bag:
                index.setdefault(word, []).append(row)
        for later in itertools.chain(*seen[number + 1 :]):
            bag = build.words(later.source)
            assert not {build.key(x) for x in later[:2]} & keys
            similar = {row for word in bag for row in index.get(word, ())}
            assert not any(build.near(bag, bags[row]) for row in similar)


@pytest.mark.parametrize("language", sentences.LANGUAGES)
def test_cleaning_and_splitting_again_changes_nothing(language, build):
    rows = {
        split: [
            (p.program, p.source, p.target) for p in SPLITS[language, split]
        ]
        for split in sentences.SPLITS
    }
    for _, source, target in itertools.chain(*rows.values()):
        names = {}
        assert build.clean(source, names) == source
        assert build.clean(target, names) == target
        assert build.usable(source, target, language)
    assert build.split(list(itertools.chain(*rows.values()))) == rows


@pytest.mark.parametrize(
    "raw, cleaned",
    [
        ("&Save as\u2026", "Save as..."),
        ("打开(&O)", "打开"),
        ("%(n)d of %(all)s", "{1} of {2}"),
        ("{all} de {n}", "{1} de {2}"),
        ("<b>%s</b> and %s", "{1} and {2}"),
        ("100%% of {{ name }}", "100% of {1}"),
        ("«\u00a0Oui\u00a0» &amp; non", '"Oui" & non'),
    ],
)
def test_cleaning(raw, cleaned, build):
    assert build.clean(raw, {}) == cleaned


def test_placeholders_keep_their_names_in_the_translation(build):
    names = {}
    assert build.clean("%(n)d of %(all)s", names) == "{1} of {2}"
    assert build.clean("%(all)s : %(n)d", names) == "{2} : {1}"


def test_load_refuses_other_names():
    with pytest.raises(ValueError, match="language: .*'fr' or 'zh'.*'de'"):
        sentences.load("de", "train")
    with pytest.raises(ValueError, match="split: .*'dev'"):
        sentences.load("fr", "dev")


# --- pieces -----------------------------------------------------------------


def test_learn_bpe_by_hand():
    words = {"save": 5, "saved": 3, "file": 4, "filed": 2}
    assert lesson.learn_bpe(words, 3) == [
        ("a", "v"),
        ("av", "e"),
        ("s", "ave"),
    ]
    merges = lesson.learn_bpe(words, 99)
    assert all(lesson.apply_bpe(word, merges) == [word] for word in words)
    assert lesson.learn_bpe(words, 0) == lesson.learn_bpe({}, 5) == []
    with pytest.raises(ValueError, match="num_merges: .*-1"):
        lesson.learn_bpe(words, -1)


def test_overlapping_pairs_are_merged_from_the_left():
    assert lesson.apply_bpe("aaa", [("a", "a")]) == ["aa", "a"]


texts = st.text(alphabet="abc", max_size=8)


@given(st.dictionaries(texts, st.integers(1, 9), max_size=6), texts)
def test_pieces_joined_give_the_word(words, word):
    merges = lesson.learn_bpe(words, 5)
    assert "".join(lesson.apply_bpe(word, merges)) == word


TRAIN = SPLITS["fr", "train"]


@pytest.fixture(scope="module")
def tokenizers():
    return {
        (language, side): lesson.Tokenizer(
            [getattr(p, side) for p in SPLITS[language, "train"]],
            2000 if (language, side) == ("zh", "target") else 1000,
        )
        for language in ("fr", "zh")
        for side in ("source", "target")
    }


def test_tokenizer_is_silent_leaves_nothing_and_is_the_same_each_time(
    tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    texts = [p.source for p in TRAIN]
    one, two = (lesson.Tokenizer(texts, 500) for _ in range(2))
    assert one.model.serialized_model_proto() == (
        two.model.serialized_model_proto()
    )
    assert capfd.readouterr() == ("", "") and not list(tmp_path.iterdir())


def test_pieces_give_the_text_back(tokenizers):
    for (language, side), tokenizer in tokenizers.items():
        for pair in SPLITS[language, "train"][:500]:
            text = getattr(pair, side)
            ids = tokenizer.encode(text)
            assert ids[-1] == EOS and UNK not in ids
            assert tokenizer.decode(ids) == text


def test_special_ids_and_placeholders(tokenizers):
    tokenizer = tokenizers["fr", "source"]
    assert len(tokenizer) == 1000
    assert tokenizer.pieces([PAD, BOS, EOS, UNK]) == [
        "<pad>",
        "<s>",
        "</s>",
        "<unk>",
    ]
    pieces = tokenizer.pieces(tokenizer.encode("Delete{1}now {2}"))
    assert "{1}" in pieces and "{2}" in pieces
    assert tokenizer.encode("") == [EOS] and tokenizer.decode([]) == ""
    assert UNK in tokenizer.encode("☃")
    assert "?" in tokenizer.decode(tokenizer.encode("Save ☃ file"))
    ids = torch.tensor([BOS, *tokenizer.encode("Save"), PAD, PAD])
    assert tokenizer.decode(ids) == "Save"


def test_tokenizer_refuses(tokenizers, own_errors):
    with pytest.raises(ValueError, match="text: .*int"):
        tokenizers["fr", "source"].encode(5)
    with pytest.raises(ValueError, match="texts: .*one text"):
        lesson.Tokenizer("Save the file", 100)
    with pytest.raises(ValueError, match="texts: .*int in it"):
        lesson.Tokenizer(["a", 1], 100)
    with pytest.raises(ValueError, match="texts: .*at least one"):
        lesson.Tokenizer([], 100)
    with pytest.raises(ValueError, match="vocab_size: .*got 100000"):
        lesson.Tokenizer(["Save the file"], 100_000)


# --- batches ----------------------------------------------------------------


@given(st.integers(1, 40), st.integers(1, 7), st.integers(1, 4))
def test_a_pass_holds_every_pair_once(count, size, pool):
    pairs = [([i + 4] * (i % 5 + 1), [i + 4, EOS]) for i in range(count)]
    batches = lesson.BucketBatches(pairs, size, pool=pool)
    seen = [i for batch in batches.epoch() for i in batch]
    assert sorted(seen) == list(range(count))


def test_batches_repeat_with_the_seed_and_pad_less_when_sorted():
    pairs = [([4] * n, [5] * n) for n in range(1, 65)]
    one, two = (lesson.BucketBatches(pairs, 8, seed=3) for _ in range(2))
    for step in range(20):
        for a, b in zip(one(step), two(step)):
            assert torch.equal(a, b)

    def cells(pool):
        batches = lesson.BucketBatches(pairs, 8, pool=pool)
        return sum(batches(i)[0].numel() for i in range(8))

    assert cells(20) < cells(1)
    with pytest.raises(ValueError, match="pairs: .*none"):
        lesson.BucketBatches([], 8)
    with pytest.raises(ValueError, match="batch_size: .*got 0"):
        lesson.BucketBatches(pairs, 0)


def test_each_epoch_has_an_order_of_its_own():
    """Other batches, and these in another order, but the seed's own."""
    pairs = [([i + 4] * (i % 7 + 1), [i + 4]) for i in range(400)]

    def epochs(seed):
        batches = lesson.BucketBatches(pairs, 10, seed=seed, pool=4)
        steps = [batches(i)[1].flatten().tolist() for i in range(120)]
        return steps[:40], steps[40:80], steps[80:]

    for one, two in itertools.combinations([*epochs(0), *epochs(1)], 2):
        first, second = ({frozenset(b) for b in x} for x in (one, two))
        assert len(first & second) < 10  # hardly a batch comes again
    assert epochs(1) == epochs(1)


def test_batches_do_not_come_from_short_to_long():
    pairs = [([4] * n, [5] * n) for n in range(1, 201)]
    batches = lesson.BucketBatches(pairs, 5, pool=40)
    lengths = [batches(i)[0].shape[1] for i in range(40)]
    assert sorted(lengths) == list(range(5, 201, 5))  # one bucket holds all
    rising = sum(a < b for a, b in zip(lengths, lengths[1:]))
    assert 10 < rising < 30


def test_pairs_of_one_source_length_are_sorted_by_target():
    pairs = [([4] * 3, [5] * (n % 50 + 1)) for n in range(100)]
    batches = lesson.BucketBatches(pairs, 10, pool=10)
    for batch in batches.epoch():
        lengths = [len(pairs[i][1]) for i in batch.tolist()]
        assert max(lengths) - min(lengths) <= 5


# --- search -----------------------------------------------------------------


def greedy(model, source, max_length):
    with evaluating(model):
        return greedy_decode(model, model.encode(source), max_length)


class Table(nn.Module):
    """A model that knows how likely a token is after another, and no more."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(logits)

    def encode(self, source):
        states = torch.zeros(*source.shape, 1)
        return Memory(states, source != PAD, None)

    def decode(self, memory, target):
        return self.logits[target], None


def score_of(model, source, tokens, penalty):
    """The score of one translation, token by token."""
    read = torch.tensor([[BOS, *tokens[:-1]]])
    logits = model.decode(model.encode(source), read)[0][0].clone()
    logits[:, [PAD, BOS, UNK]] = -torch.inf
    steps = logits.log_softmax(-1)[range(len(tokens)), tokens]
    return steps.sum().item() / len(tokens) ** penalty


def until_end(row):
    row = row.tolist()
    return row[: row.index(EOS) + 1] if EOS in row else row


def models(size=9):
    torch.manual_seed(1)
    return [
        Table(torch.randn(size, size)),
        EncoderDecoder(size, size, 8, attention=None),
        EncoderDecoder(size, size, 8, attention="dot"),
        Transformer(size, size, 8, 2, 1),
    ]


SOURCE = torch.tensor([[4, 5, 6, EOS], [7, EOS, PAD, PAD], [5, 8, EOS, PAD]])


@pytest.mark.parametrize("number", range(4))
def test_a_beam_of_1_is_greedy(number):
    model = models()[number].train()
    for seed in range(5):
        torch.manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(std=1.5)
        found, _ = lesson.beam_search(model, SOURCE, 7, beam_size=1)
        assert torch.equal(found, greedy(model, SOURCE, 7))
    assert model.training


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.5, 1.0]))
def test_exhaustive_beam_finds_the_best_and_greedy_is_never_above(
    seed, penalty
):
    torch.manual_seed(seed)
    model = Table(2 * torch.randn(6, 6))
    source, longest = torch.tensor([[EOS]]), 4
    found, score = lesson.beam_search(
        model, source, longest, beam_size=200, length_penalty=penalty
    )
    every = [
        (*start, EOS)
        for n in range(longest)
        for start in itertools.product((4, 5), repeat=n)
    ] + list(itertools.product((4, 5), repeat=longest))
    best = max(score_of(model, source, t, penalty) for t in every)
    mine = score_of(model, source, until_end(found[0]), penalty)
    assert mine == pytest.approx(best, abs=1e-5)
    assert score.item() == pytest.approx(best, abs=1e-5)
    simple = until_end(greedy(model, source, longest)[0])
    assert score_of(model, source, simple, penalty) <= mine + 1e-5


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("beam_size", [1, 3])
def test_a_sentence_is_translated_alike_alone_and_in_a_batch(
    number, beam_size
):
    model = models()[number].eval()
    together, scores = lesson.beam_search(
        model, SOURCE, 8, beam_size=beam_size
    )
    for row, source in enumerate(SOURCE):
        alone, score = lesson.beam_search(
            model, source[source != PAD][None], 8, beam_size=beam_size
        )
        assert until_end(alone[0]) == until_end(together[row])
        torch.testing.assert_close(score[0], scores[row])
        said = until_end(alone[0])
        wanted = score_of(model, source[None], said, 1.0)
        assert scores[row].item() == pytest.approx(wanted, abs=1e-4)


def test_beam_escapes_where_greedy_is_caught():
    table = torch.full((6, 6), -torch.inf)
    table[BOS, 4], table[BOS, 5] = np.log(0.6), np.log(0.4)
    table[4, [4, 5, EOS]] = torch.tensor([0.4, 0.3, 0.3]).log()
    table[5, [4, 5, EOS]] = torch.tensor([0.05, 0.05, 0.9]).log()
    model, source = Table(table), torch.tensor([[EOS]])
    assert greedy(model, source, 5).tolist() == [[4] * 5]
    found, score = lesson.beam_search(
        model, source, 5, beam_size=2, length_penalty=0
    )
    assert until_end(found[0]) == [5, EOS]
    assert score.exp().item() == pytest.approx(0.36)


def test_by_default_a_beam_of_4_and_the_mean_per_token():
    torch.manual_seed(44)  # here each wider beam finds something likelier
    model, source = Table(2 * torch.randn(12, 12)), torch.tensor([[EOS]])

    def score(**options):
        return lesson.beam_search(model, source, 8, **options)[1].item()

    assert score(beam_size=3) < score(beam_size=4) < score(beam_size=5)
    assert score() == score(beam_size=4, length_penalty=1.0)
    assert score() != score(length_penalty=0.9)


def test_beam_search_refuses():
    for options, words in (
        ({"beam_size": 0}, "beam_size: .*got 0"),
        ({"length_penalty": -1.0}, "length_penalty: .*got -1"),
    ):
        with pytest.raises(ValueError, match=words):
            lesson.beam_search(models()[0], SOURCE, 5, **options)
    with pytest.raises(ValueError, match="max_length: .*got 0"):
        lesson.beam_search(models()[0], SOURCE, 0)


class Interrupted(Table):
    """A model that fails, or is stopped, in the midst of a search."""

    def __init__(self, error):
        super().__init__(torch.zeros(9, 9))
        self.frozen = nn.Dropout(0.5).eval()
        self.error, self.left = error, 2

    def decode(self, memory, target, **options):
        assert not any(m.training for m in self.modules())
        self.left -= 1
        if not self.left:
            raise self.error
        return super().decode(memory, target)


@pytest.mark.parametrize("error", [RuntimeError("full"), KeyboardInterrupt()])
def test_a_failed_search_leaves_the_mode_as_it_was(error):
    for mode in (True, False):
        model = Interrupted(error)
        model.training = mode  # its frozen part stays in evaluation mode
        with pytest.raises(type(error)):
            lesson.beam_search(model, SOURCE, 9)
        assert model.training is mode and not model.frozen.training


def test_a_search_leaves_no_gradient():
    model = models()[2]
    _, scores = lesson.beam_search(model, SOURCE, 5)
    assert not scores.requires_grad


# --- metrics ----------------------------------------------------------------

REFERENCES = [p.target for p in SPLITS["fr", "test"][:200]]


@pytest.mark.parametrize("language", sentences.LANGUAGES)
@pytest.mark.parametrize("metric", [lesson.bleu, lesson.chrf])
def test_hypothesis_equal_to_reference_gives_100(metric, language):
    true = [p.target for p in SPLITS[language, "test"]]
    assert metric(true, true, language=language) == pytest.approx(100)
    other = true[1:] + true[:1]
    assert metric(other, true, language=language) < 25


def test_bleu_by_hand():
    true, said = "a b c d e f g", "a b c d x f g"
    wanted = 100 * (6 / 7 * 4 / 6 * 2 / 5 * 1 / 4) ** 0.25
    assert lesson.bleu([said], [true]) == pytest.approx(wanted)
    short = 100 * np.exp(1 - 7 / 4)
    assert lesson.bleu(["a b c d"], [true]) == pytest.approx(short)


def test_bleu_of_short_sentences(own_errors):
    """No 4-gram in the whole test set: 0 by the formula, even if right."""
    text = "Afficher les enquêtes"
    assert lesson.bleu([text], [text]) == 0
    assert lesson.bleu([text] * 9, [text] * 9) == 0
    long = "Afficher les enquêtes du projet"
    assert lesson.bleu([text, long], [text, long]) == pytest.approx(100)
    assert lesson.sentence_bleu(text, text) == pytest.approx(100)
    found = lesson.sentence_bleu("Afficher les projets", text)
    # p_1 = 2/3, p_2 = 1/2, and p_3 = 0 becomes 1/2 (sacrebleu's smoothing)
    assert found == pytest.approx(100 * (2 / 3 * 1 / 2 * 1 / 2) ** (1 / 3))
    assert lesson.sentence_bleu("保存", "保存", language="zh") == (
        pytest.approx(100)
    )
    for wrong in (["a"], 5):
        with pytest.raises(ValueError, match="hypothesis: expected a text"):
            lesson.sentence_bleu(wrong, "a")
        with pytest.raises(ValueError, match="reference: expected a text"):
            lesson.sentence_bleu("a", wrong)


def test_the_signature_is_sacrebleus():
    metric = sacrebleu.BLEU()
    metric.corpus_score(["a b"], [["a b"]])
    assert lesson.signature() == str(metric.get_signature())
    assert "tok:zh" in lesson.signature(language="zh")
    assert "nc:6" in lesson.signature("chrF")
    with pytest.raises(ValueError, match="metric: .*'TER'"):
        lesson.signature("TER")


def test_the_way_round_matters():
    lazy = [" ".join(r.split()[: len(r.split()) // 2 + 1]) for r in REFERENCES]
    right = lesson.chrf(lazy, REFERENCES), lesson.bleu(lazy, REFERENCES)
    swapped = lesson.chrf(REFERENCES, lazy), lesson.bleu(REFERENCES, lazy)
    assert swapped[0] > right[0] + 5 and abs(swapped[1] - right[1]) > 1
    # as sacrebleu has it: hypotheses first
    assert right[0] == sacrebleu.corpus_chrf(lazy, [REFERENCES]).score
    found = lesson.bleu(lazy, REFERENCES, split_placeholders=True)
    assert found == sacrebleu.corpus_bleu(lazy, [REFERENCES]).score


def test_a_placeholder_is_one_word_to_bleu():
    """sacrebleu makes three tokens of it, so a copy would get a 3-gram."""
    said, true = ["{1} x y z"], ["{1} a b c d"]
    parts = lesson.bleu_parts(said, true)
    assert parts.length_ratio == 4 / 5
    assert parts.brevity_penalty == pytest.approx(np.exp(1 - 5 / 4))
    # p_1 = 1/4; p_2 to p_4 are 0 and become 1/2, 1/4, 1/8 of a count.
    wanted = (1 / 4 * (1 / 2) / 3 * (1 / 4) / 2 * (1 / 8)) ** 0.25
    assert parts.precision == pytest.approx(100 * wanted)
    assert parts.score == pytest.approx(
        parts.precision * parts.brevity_penalty
    )
    assert lesson.bleu(said, true) == parts.score
    assert lesson.bleu(said, true, split_placeholders=True) > 1.5 * parts.score
    both = lesson.compare_systems({"a": said * 2}, true * 2, samples=3)
    assert both.scores["a"].score == pytest.approx(
        lesson.bleu(said * 2, true * 2)
    )
    # Each of the three, at the edges too, and another one is another word.
    words = ["save {1}{2}, {3}.", "x {1}"], ["save {1} {2} , {3} .", "x {2}"]
    assert lesson.sentence_bleu(words[0][0], words[1][0]) == pytest.approx(100)
    assert lesson.sentence_bleu(words[0][1], words[1][1]) < 75
    assert lesson.bleu_parts(["{1}"], ["a b"]).length_ratio == 0.5
    assert lesson.bleu_parts(["{1}"], ["a b"]).precision == 0


def test_chinese_is_scored_by_characters():
    said, true = ["保存所有文件吗"], ["保存所有的文件"]
    assert lesson.bleu(said, true, language="zh") > 20
    assert lesson.bleu(said, true) < lesson.bleu(said, true, language="zh")


@pytest.mark.parametrize("metric", [lesson.bleu, lesson.chrf])
def test_metrics_refuse(metric, own_errors):
    for args, words in (
        (("one", ["one"]), "hypotheses: .*one text"),
        ((["one"], "one"), "references: .*one text"),
        ((["one", "two"], ["one"]), "hypotheses: expected 1.*got 2"),
        (([3], ["one"]), "hypotheses: .*int"),
        ((3, ["one"]), "hypotheses: .*int"),
        (([], []), "hypotheses: .*none"),
    ):
        with pytest.raises(ValueError, match=words):
            metric(*args)


@pytest.mark.parametrize(
    "name, metric", [("BLEU", lesson.bleu), ("chrF", lesson.chrf)]
)
def test_bootstrap(name, metric):
    worse = [" ".join(r.split()[::-1]) for r in REFERENCES]
    half = [
        w if i % 2 else r for i, (w, r) in enumerate(zip(worse, REFERENCES))
    ]
    systems = {"worse": worse, "same": worse, "half": half}
    found = lesson.compare_systems(systems, REFERENCES, name, samples=200)
    for system, said in systems.items():
        score, low, high = found.scores[system]
        assert score == pytest.approx(metric(said, REFERENCES))
        assert low < score < high
    assert tuple(found.leads["same"]) == (0, 0, 0)
    lead = found.leads["half"]
    assert 0 < lead.low < lead.score < lead.high
    assert lead.score == pytest.approx(
        found.scores["half"].score - found.scores["worse"].score
    )
    again = lesson.compare_systems(systems, REFERENCES, name, samples=200)
    assert again == found
    assert re.fullmatch(r"[\d.]+ \[[\d.]+, [\d.]+\]", str(lead))


def test_bootstrap_refuses():
    with pytest.raises(ValueError, match="systems: .*none"):
        lesson.compare_systems({}, ["a"])
    with pytest.raises(ValueError, match="metric: .*'TER'"):
        lesson.compare_systems({"a": ["a"]}, ["a"], "TER")
    with pytest.raises(ValueError, match="hypotheses: expected 1.*got 2"):
        lesson.compare_systems({"a": ["a", "b"]}, ["a"])


# --- baselines and errors ------------------------------------------------------


def test_memory_gives_the_most_similar_sentence():
    pairs = [("save the file", "A"), ("save all", "B"), ("the file", "C")]
    memory = lesson.TranslationMemory(pairs)
    assert memory.translate(["Save the FILE", "save", "the file now"]) == (
        ["A", "B", "C"]
    )
    assert memory.nearest("xyz") == memory.nearest("") == pairs[0]
    with pytest.raises(ValueError, match="pairs: .*none"):
        lesson.TranslationMemory([])
    with pytest.raises(ValueError, match="texts: .*one text"):
        memory.translate("save")


def test_memory_takes_the_first_of_equals():
    pairs = [("a b", "1"), ("b c", "2"), ("c b", "3")]
    memory = lesson.TranslationMemory(pairs)
    assert memory.translate(["b", "c", "b c d"]) == ["1", "2", "2"]


@pytest.mark.parametrize(
    "said, number",
    [
        ("Supprimer le fichier", 0),
        ("Supprimer le fichier {1} {1}", 0),
        ("Supprimer le le fichier {1}", 1),
        ("Supprimer le fichier le fichier {1}", 1),
        ("Supprimer {1}", 2),
        ("Supprimer un autre très grand fichier {1}", 3),
        ("Supprimer delete fichier {1}", 4),
    ],
)
def test_error_types(said, number):
    found = lesson.error_types(
        "Delete the file {1}", said, "Supprimer le fichier {1}"
    )
    assert lesson.ERROR_TYPES[number] in found


@pytest.mark.parametrize(
    "source, said, reference, errors",
    [
        # three words of five, eight of five: just not too short, too long
        ("x", "a b c", "a b c d e", ()),
        ("x", "a b", "a b c d e", (2,)),
        ("x", "a b c d e f g h", "a b c d e", ()),
        ("x", "a b c d e f g h i", "a b c d e", (3,)),
        # up to three words written twice are a stutter
        ("x", "a b c a b c", "a b c d e", (1,)),
        ("x", "a b c d a b c d", "a b c d e f", ()),
        ("x", "a b a", "a b a", ()),
        # a short English word may be a word of the other language too
        ("the file", "the nom", "le nom", ()),
        ("file names", "names b", "a b", (4,)),
        ("file names", "Names b", "names b", ()),
        ("{1} of {2}", "{2} de {1}", "{1} de {2}", ()),
        ("{1} of {2}", "{1} de {1}", "{1} de {2}", (0,)),
    ],
)
def test_error_types_at_their_edges(source, said, reference, errors):
    assert lesson.error_types(source, said, reference) == (
        [lesson.ERROR_TYPES[i] for i in errors]
    )


def test_a_right_translation_has_no_error():
    for language in sentences.LANGUAGES:
        pairs = SPLITS[language, "test"]
        found = Counter(
            fault
            for p in pairs
            for fault in lesson.error_types(
                p.source, p.target, p.target, language=language
            )
        )
        assert sum(found.values()) < 0.05 * len(pairs)


# --- text to text -----------------------------------------------------------

KINDS = ("RNN", "RNN + attention", "Transformer")


@pytest.fixture(scope="module")
def translators(tokenizers):
    """Three models per language, trained for a moment, as the lesson does."""
    found = {}
    for language in sentences.LANGUAGES:
        english = tokenizers[language, "source"]
        foreign = tokenizers[language, "target"]
        sizes = len(english), len(foreign)
        torch.manual_seed(0)
        made = (
            EncoderDecoder(*sizes, 16, attention=None),
            EncoderDecoder(*sizes, 16, attention="dot"),
            Transformer(*sizes, 16, 2, 1),
        )
        rows = [
            (english.encode(p.source), foreign.encode(p.target))
            for p in SPLITS[language, "train"][:300]
        ]

        def loss(model, batch):
            source, target = batch
            return sequence_loss(model(source, shift_right(target)), target)

        found[language] = {}
        for kind, model in zip(KINDS, made):
            history = training.fit(
                model,
                loss,
                lesson.BucketBatches(rows, 16),
                steps=30,
                lr=1e-2,
                threads=1,
            )
            assert history.losses[-1] < history.losses[0]
            found[language][kind] = lesson.Translator(model, english, foreign)
    return found


@pytest.mark.parametrize("language", sentences.LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_whole_path_in_both_languages(translators, language, kind):
    translator = translators[language][kind]
    pairs = SPLITS[language, "test"][:12]
    english = [p.source for p in pairs]
    true = [p.target for p in pairs]
    for beam_size in (1, 3):
        said = translator.translate(english, beam_size=beam_size, batch_size=5)
        assert len(said) == 12 and all(isinstance(s, str) for s in said)
        alone = [
            translator.translate([e], beam_size=beam_size)[0] for e in english
        ]
        limits = [len(translator.encode(e)) for e in english]
        same = [
            a == s for a, s, n in zip(alone, said, limits) if len(s) < 2 * n
        ]
        assert all(same)
        score = lesson.bleu(said, true, language=language)
        assert 0 <= score <= 100
        found = translator.explain(english[0], beam_size=beam_size)
        assert found.source[-1] == "</s>" and found.unknown == 0
        assert "<pad>" not in found.target
        if kind == "RNN":
            assert found.weights is None
        else:
            assert found.weights.shape == (
                len(found.target),
                len(found.source),
            )
            torch.testing.assert_close(
                found.weights.sum(-1), torch.ones(len(found.target))
            )


@pytest.mark.parametrize("kind", KINDS)
def test_a_translator_leaves_the_model_as_it_was(translators, kind):
    translator = translators["fr"][kind]
    model = translator.model.train()
    try:
        translator.translate(["Save the file"])
        translator.explain("Save the file")
        assert all(m.training for m in model.modules())

        def stop(*args):
            raise KeyboardInterrupt

        handle = model.register_forward_pre_hook(stop)
        encoder = next(m for n, m in model.named_modules() if n == "encoder")
        other = encoder.register_forward_pre_hook(stop)
        for ask in (translator.explain, lambda x: translator.translate([x])):
            with pytest.raises(KeyboardInterrupt):
                ask("Save the file")
            assert all(m.training for m in model.modules())
        handle.remove(), other.remove()
    finally:
        model.eval()


def test_explained_weights_are_the_mean_over_layers_and_heads(translators):
    translator = translators["fr"]["Transformer"]
    found = translator.explain("Save the file {1}")
    model = translator.model
    source = torch.tensor([translator.encode("Save the file {1}")])
    target = torch.tensor(
        [[translator.target.model.piece_to_id(p) for p in found.target]]
    )
    with torch.no_grad():
        weights = model.decode(
            model.encode(source), shift_right(target), need_weights=True
        )[1]
    expected = sum(head for layer in weights for head in layer[0]) / (
        weights.shape[0] * weights.shape[2]
    )
    torch.testing.assert_close(found.weights, expected)


def test_a_translator_is_greedy_unless_told_otherwise(
    translators, monkeypatch
):
    from attn_course.translation import translator as module

    asked = []

    def search(model, source, limit, *, beam_size):
        asked.append((beam_size, limit))
        return lesson.beam_search(model, source, limit, beam_size=beam_size)

    monkeypatch.setattr(module, "beam_search", search)
    translator = translators["fr"]["RNN"]
    translator.translate(["Save"])
    translator.explain("Save")
    translator.translate(["Save"], beam_size=3)
    # "Save" and EOS: no more than 10 + 2 * 2 pieces are written
    assert asked == [(1, 14), (1, 14), (3, 14)]
    long = "Save the file in this folder and close all the other tabs now"
    translator.translate([long])
    assert asked[-1] == (1, min(60, 10 + 2 * len(translator.encode(long))))
    short = lesson.Translator(
        translator.model, translator.source, translator.target, max_length=7
    )
    short.translate(["Save"])
    assert asked[-1] == (1, 7)
    assert len(short.encode("Save")) == 2
    with pytest.raises(ValueError, match="at most 7 pieces"):
        short.encode(long)


def test_translations_come_in_the_order_of_the_texts(translators):
    """They are read in the order of their lengths."""
    translator = translators["fr"]["Transformer"]
    texts = [p.source for p in SPLITS["fr", "test"][:9]]
    together = translator.translate(texts, batch_size=4)
    back = translator.translate(texts[::-1], batch_size=9)
    assert together == back[::-1]
    with pytest.raises(ValueError, match="batch_size: .*got 0"):
        translator.translate(texts, batch_size=0)


def test_translator_refuses_in_clear_words(translators, own_errors):
    translator = translators["fr"]["Transformer"]
    for text, words in (
        ("", "at least one word"),
        ("  \n ", "at least one word"),
        ("word " * 10_000, "at most 60 pieces, got .*short"),
        (5, "text: .*int"),
    ):
        with pytest.raises(ValueError, match=words):
            translator.explain(text)
    with pytest.raises(ValueError, match="texts: .*one text"):
        translator.translate("Save the file")
    with pytest.raises(ValueError, match="at least one word"):
        translator.translate(["Save", ""])


def test_unknown_characters_are_counted(translators):
    found = translators["fr"]["Transformer"].explain("Save ☃ 雪 \x00")
    assert found.unknown >= 2


# --- views ------------------------------------------------------------------


@pytest.fixture(params=sentences.LANGUAGES)
def desk(request, translators):
    return views.desk(
        translators[request.param],
        "Save the file {1}.",
        language=request.param,
    )


def test_desk_is_still_where_no_kernel_runs(desk):
    bundle = desk._repr_mimebundle_()
    assert "image/svg+xml" in bundle["text/html"]
    assert "Save the file {1}." in bundle["text/plain"]
    # What was learned is not in the text that is compared.
    assert "looked most" not in bundle["text/plain"]
    bare = re.sub("base64,[A-Za-z0-9+/=]+", "", bundle["text/html"])
    assert "base64" in bundle["text/html"] and " width=" not in bare
    assert "looked most" in desk.caption.value


@pytest.mark.parametrize(
    "typed, words",
    [
        ("", "at least one word"),
        ("   ", "at least one word"),
        ("word " * 10_000, "at most 60 pieces"),
        ("☃ 雪 <b>&amp;</b>", "does not know"),
        ("Close all tabs", "Close all tabs"),
    ],
)
def test_whatever_is_typed_is_answered(desk, typed, words):
    for kind in (*KINDS[1:], KINDS[0]):
        desk.controls["model"].value = kind
        desk.controls["sentence"].value = typed
        desk.controls["beam_size"].value = 3
        assert words in desk.caption.value
        assert "<b>" not in desk.caption.value
        shown = "image/svg+xml" in desk.picture.value
        assert shown is (
            words not in ("at least one word", "at most 60 pieces")
        )


def test_drawing_is_valid_and_speaks(translators):
    from xml.etree import ElementTree

    for kind in KINDS:
        found = translators["zh"][kind].explain('Save <all> & close "x"')
        drawn = views.alignment(found, "three words here", lines=["a < b"])
        ElementTree.fromstring(drawn.svg)
        assert repr(drawn) == drawn._repr_mimebundle_()["text/plain"]
        said = views.describe_translation(kind, "Save", found, "zh")
        assert "Chinese" in said
        assert ("no attention" in said) is (kind == "RNN")


def test_desk_needs_a_translator():
    with pytest.raises(ValueError, match="translators: .*none"):
        views.desk({}, "Save")


def test_a_table_of_texts_hides_nothing():
    html = views.text_table(["a"], [["<b>"]]).data
    assert "&lt;b&gt;" in html and "<b>" not in html
