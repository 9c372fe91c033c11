"""What a rule can see to be wrong with a translation."""

from attn_course.translation.subwords import PLACEHOLDERS

ERROR_TYPES = (
    "placeholder lost or added",
    "stutters",
    "much too short",
    "much too long",
    "English word left",
)


def error_types(
    source: str, hypothesis: str, reference: str, *, language: str = "fr"
) -> list[str]:
    """Name what a rule can see to be wrong with a translation.

    The rules are rough, and most mistakes of meaning escape them all.
    """
    errors = []
    if _placeholders(hypothesis) != _placeholders(source):
        errors.append(ERROR_TYPES[0])
    hypothesis, reference, source = (
        _words(text, language) for text in (hypothesis, reference, source)
    )
    if any(
        hypothesis[i : i + n] == hypothesis[i + n : i + 2 * n]
        for n in (1, 2, 3)
        for i in range(len(hypothesis) - 2 * n + 1)
    ):
        errors.append(ERROR_TYPES[1])
    if len(hypothesis) < 0.6 * len(reference):
        errors.append(ERROR_TYPES[2])
    if len(hypothesis) > 1.6 * len(reference):
        errors.append(ERROR_TYPES[3])
    long = {word for word in source if len(word) > 3}
    if (set(hypothesis) & long) - set(reference):
        errors.append(ERROR_TYPES[4])
    return errors


def _placeholders(text: str) -> list[int]:
    return [text.count(placeholder) for placeholder in PLACEHOLDERS]


def _words(text: str, language: str) -> list[str]:
    """Cut into words without punctuation; Chinese into characters."""
    for placeholder in PLACEHOLDERS:
        text = text.replace(placeholder, " ")
    kept = [c if c.isalnum() else " " for c in text.lower()]
    if language == "zh":
        kept = [c if c.isascii() else f" {c} " for c in kept]
    return "".join(kept).split()
