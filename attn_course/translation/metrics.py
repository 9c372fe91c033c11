"""Judge translations: BLEU and chrF by sacrebleu, with intervals."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import sacrebleu

from attn_course.common.arguments import check_choice, check_texts
from attn_course.common.statistics import Comparison, paired_bootstrap
from attn_course.translation.subwords import PLACEHOLDERS

METRICS = ("BLEU", "chrF")


class BleuParts(NamedTuple):
    """What BLEU is made of: ``score = precision * brevity_penalty``."""

    score: float
    precision: float  # the geometric mean of p_1 to p_4, times 100
    brevity_penalty: float  # from 0 to 1; 1 for what is long enough
    length_ratio: float  # tokens of the hypotheses per token of references


def bleu(
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    language: str = "fr",
    split_placeholders: bool = False,
) -> float:
    """Score translations against references by their common n-grams.

    ``BLEU = 100 exp(min(0, 1 - r / h)) (p_1 p_2 p_3 p_4)^(1/4)``, with the
    clipped precision ``p_n``, the share of the *hypotheses'* n-grams that the
    references have, and ``h``, ``r`` the number of tokens of both (the factor
    before is the brevity penalty). A ``p_n`` of 0 is replaced by a small
    number (sacrebleu's smoothing, "exp"), but where *no* sentence has four
    tokens there is no 4-gram at all, and BLEU is 0 even for equal texts: it
    is a score of whole test sets. For one sentence see :func:`sentence_bleu`.
    Chinese is cut into characters.

    A placeholder such as ``{1}`` counts as one word. sacrebleu's tokenizer
    makes three of it, ``{ 1 }``: a system that only copies it would then get
    three words right, and a 3-gram. ``split_placeholders`` leaves it so.

    Raises:
        ValueError: if either is no list of texts, or their lengths differ.

    Source: Papineni et al. (2002), "BLEU", section 2.3; the tokens are those
    of Post (2018), "A call for clarity in reporting BLEU scores", section 4.
    """
    if not split_placeholders:
        return bleu_parts(hypotheses, references, language=language).score
    return _corpus("BLEU", hypotheses, references, language, whole=False).score


def bleu_parts(
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    language: str = "fr",
) -> BleuParts:
    """Take :func:`bleu` apart: precision, brevity penalty, ratio of lengths.

    Raises:
        ValueError: as :func:`bleu`.

    Source: Papineni et al. (2002), section 2.3.
    """
    found = _corpus("BLEU", hypotheses, references, language)
    return BleuParts(
        found.score,
        found.score / found.bp if found.bp else 0.0,
        found.bp,
        found.sys_len / found.ref_len,
    )


def sentence_bleu(
    hypothesis: str, reference: str, *, language: str = "fr"
) -> float:
    """Score one sentence by BLEU, over the n-grams that it has.

    A hypothesis of three tokens has no 4-gram: the mean is then taken over
    ``p_1 p_2 p_3`` (sacrebleu's "effective order"). Not for comparing systems:
    the mean over sentences is not the BLEU of a test set.

    Raises:
        ValueError: if either is no text.

    Source: Post (2018), "A call for clarity in reporting BLEU scores".
    """
    for name, text in (("hypothesis", hypothesis), ("reference", reference)):
        if not isinstance(text, str):
            raise ValueError(
                f"{name}: expected a text, got {type(text).__name__}"
            )
    metric = _metric("BLEU", language, effective_order=True)
    hypothesis, reference = _whole_placeholders([hypothesis, reference])
    return metric.sentence_score(hypothesis, [reference]).score


def chrf(
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    language: str = "fr",
) -> float:
    """Score translations by common n-grams of characters, 1 to 6 long.

    ``chrF = 100 (1 + 4) P R / (4 P + R)``: precision and recall, averaged
    over the six lengths; recall counts twice as much. A placeholder is its
    three characters.

    Raises:
        ValueError: if either is no list of texts, or their lengths differ.

    Source: Popovic (2015), "chrF: character n-gram F-score for automatic MT
    evaluation", section 2.
    """
    return _corpus("chrF", hypotheses, references, language).score


def signature(metric: str = "BLEU", *, language: str = "fr") -> str:
    """Return what must stand beside a score, so that others can repeat it.

    Such as ``nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0``:
    one reference per sentence, capitals count, no effective order, which
    tokens, which smoothing, which sacrebleu.

    Raises:
        ValueError: if ``metric`` is unknown.

    Source: Post (2018), section 4.
    """
    scorer = _metric(metric, language)
    scorer.corpus_score(["a"], [["a"]])  # it has no signature before
    return str(scorer.get_signature())


def compare_systems(
    systems: Mapping[str, Sequence[str]],
    references: Sequence[str],
    metric: str = "BLEU",
    *,
    language: str = "fr",
    samples: int = 1_000,
    seed: int = 0,
) -> Comparison:
    """Ask how far scores would move on other test sentences of this kind.

    Placeholders are counted as by :func:`bleu` and :func:`chrf`.

    The paired bootstrap: draw as many sentences as there are, with
    replacement, ``samples`` times, the *same* ones for all systems, and score
    each time. What the middle 95 % hold is the interval. (It says nothing
    about another training run.)

    Args:
        systems: ``{name: translations}``; leads are over the first.
        references: the true translations.
        metric: "BLEU" or "chrF".
        language: "fr" or "zh".
        samples: how often to draw.
        seed: of the drawing.

    Raises:
        ValueError: if there is no system, lengths differ, or ``metric`` is
            unknown.

    Source: Koehn (2004), "Statistical significance tests for machine
    translation evaluation", sections 3 and 4.
    """
    scorer = _metric(metric, language)
    references = check_texts("references", references)
    scores = {
        name: _resampled_score(scorer, *_pair(metric, hypotheses, references))
        for name, hypotheses in systems.items()
    }
    return paired_bootstrap(scores, len(references), samples, seed)


def _resampled_score(
    scorer, hypotheses: list[str], references: list[str]
) -> Callable[[np.ndarray], float]:
    """Make a score of how often each sentence was drawn."""
    # Per sentence: counts that add up to those of the corpus. sacrebleu's own
    # significance test uses the same two methods.
    counts = np.array(
        scorer._extract_corpus_statistics(hypotheses, [references])
    )  # (sentences, counts)
    return lambda times: (
        scorer._compute_score_from_stats((times @ counts).tolist()).score
    )


def _metric(name: str, language: str, **options: bool):
    check_choice("metric", name, METRICS)
    if name == "chrF":
        return sacrebleu.CHRF()
    tokens = "zh" if language == "zh" else "13a"
    return sacrebleu.BLEU(tokenize=tokens, **options)


def _corpus(metric: str, hypotheses, references, language, *, whole=True):
    hypotheses, references = _pair(metric, hypotheses, references, whole)
    # sacrebleu takes a list of *sets* of references: hence the brackets.
    return _metric(metric, language).corpus_score(hypotheses, [references])


def _pair(
    metric: str, hypotheses, references, whole: bool = True
) -> tuple[list[str], list[str]]:
    """Check both lists, and make of each placeholder what the metric reads."""
    hypotheses = check_texts("hypotheses", hypotheses)
    references = check_texts("references", references)
    if len(hypotheses) != len(references):
        raise ValueError(
            f"hypotheses: expected {len(references)}, one per reference, got "
            f"{len(hypotheses)}"
        )
    if metric == "BLEU" and whole:
        return _whole_placeholders(hypotheses), _whole_placeholders(references)
    return hypotheses, references


def _whole_placeholders(texts: Sequence[str]) -> list[str]:
    """Write {1} as a word that no tokenizer cuts: it has letters only."""
    for placeholder, letter in zip(PLACEHOLDERS, "ABC"):
        word = f" placeholder{letter} "
        texts = [text.replace(placeholder, word) for text in texts]
    return list(texts)
