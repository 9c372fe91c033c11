"""Papers cited in running text, and their entries in ``references.bib``.

``find`` recognises "Vaswani et al. (2017)", "Jain and Wallace (2019,
section 4)", "(Press, Smith and Lewis, 2022)" and "Hahn (2020)". ``match``
finds the entry; a list of names has to be all of its authors. The list of
references is sphinxcontrib-bibtex's; its roles are not used, because a learner
would see them, as raw text, in the notebook and in a docstring.
"""

import re
import unicodedata
from pathlib import Path
from typing import NamedTuple

BIBLIOGRAPHY = Path(__file__).with_name("references.bib")
# A surname: "Vaswani", "van den Oord", "Ferrari Dacrema", "Schmidt-Thieme".
NAME = (
    r"(?:(?:van den|van der|van|von|de|Spärck|Ferrari) )?(?:[A-Z]['’])?[A-Z][\w-]*"
    r"[a-zéöüçćñ](?:['’]s)?"
)
YEAR = r"(?P<year{n}>(?:18|19|20)\d\d)\b"
ET_AL = rf"(?P<first>{NAME}) et al\.(?:['’]s)?,? \(?{YEAR.format(n=1)}"
LISTED = (
    rf"(?P<listed>{NAME}(?:, {NAME})* and {NAME}),? "
    rf"\(?{YEAR.format(n=2)}(?!-)"
)
ALONE = rf"(?P<alone>{NAME})(?: \(|, )(?:both )?{YEAR.format(n=3)}(?=[,);])"
CITATION = re.compile("|".join((ET_AL, LISTED, ALONE)))
# Before a year, but no author.
NOBODY = {
    "January",
    "March",
    "July",
    "May",
    "Friday",
    "In",
    "Since",
    "Around",
    "ICWSM",
    "Tweets",
    "News",
}


class Citation(NamedTuple):
    """A paper that is cited: where in the text, by which names and year."""

    start: int
    end: int
    names: tuple[str, ...]
    others: bool
    year: str

    def __str__(self) -> str:
        names = " and ".join(self.names) + " et al." * self.others
        return f"{names} ({self.year})"


def find(text: str) -> list[Citation]:
    """Return every citation in a text, in order.

    A line break may stand anywhere in it.
    """
    flat = re.sub(r"\s", " ", text)  # places stay the same
    flat = re.sub(r" {2,}", lambda m: " " + "\0" * (len(m[0]) - 1), flat)
    kept = [i for i, c in enumerate(flat) if c != "\0"]
    flat = flat.replace("\0", "")
    found = []
    for match in CITATION.finditer(flat):
        part = match.groupdict()
        said = part["first"] or part["listed"] or part["alone"]
        names = re.split(r", | and ", re.sub(r"['’]s\b", "", said))
        if not set(names) & NOBODY:
            year = part["year1"] or part["year2"] or part["year3"]
            found.append(
                Citation(
                    kept[match.start()],
                    kept[match.end() - 1] + 1,
                    tuple(names),
                    bool(part["first"]),
                    year,
                )
            )
    return found


def plain(name: str) -> str:
    """Return a surname without accents and small words, in lower case."""
    bare = unicodedata.normalize("NFKD", name)
    bare = "".join(c for c in bare if not unicodedata.combining(c))
    bare = bare.replace("’", "'")
    return re.sub(
        r"^(van den|van der|van|von|de) ", "", bare, flags=re.I
    ).lower()


def entries(
    path: Path = BIBLIOGRAPHY,
) -> dict[str, tuple[list[str], bool, str]]:
    """Return each entry's surnames, whether others follow, and its year."""
    from pybtex.database import parse_file
    from pybtex.richtext import Text

    result = {}
    for key, entry in parse_file(str(path)).entries.items():
        names = [
            plain(str(Text.from_latex(" ".join(p.last_names))))
            for p in entry.persons["author"]
        ]
        more = names[-1] == "others"
        result[key] = (
            names[: -1 if more else None],
            more,
            entry.fields["year"],
        )
    return result


def match(citation: Citation, known) -> str:
    """Return the key of the entry that is cited.

    Raises:
        LookupError: if no entry fits, or several.
    """
    names = [plain(name) for name in citation.names]
    keys = [
        key
        for key, (authors, more, year) in known.items()
        if year == citation.year
        and (
            authors[0] == names[0] and (more or len(authors) > 2)
            if citation.others
            else authors == names and not more
        )
    ]
    if len(keys) != 1:
        raise LookupError(f"{citation}: {len(keys)} entries fit: {keys}")
    return keys[0]


# On the site ---------------------------------------------------------------


def connect(app) -> None:
    """Turn every citation in the pages into a link to its entry."""
    app.connect("doctree-resolved", link)


def link(app, tree, page: str) -> None:
    """Link the citations of one page; an unknown one is a warning."""
    from docutils import nodes
    from sphinx.util import logging

    if page == "references":
        return
    known = entries(Path(app.srcdir) / "references.bib")
    target = app.builder.get_relative_uri(page, "references")
    for parent in {text.parent for text in tree.findall(nodes.Text)}:
        join(parent)
    for text in list(tree.findall(nodes.Text)):
        parent = text.parent
        if isinstance(
            parent,
            (
                nodes.literal,
                nodes.reference,
                nodes.raw,
                nodes.literal_block,
                nodes.title,
            ),
        ):
            continue
        parts, done = [], 0
        said = text.astext()
        for citation in find(said):
            try:
                key = match(citation, known)
            except LookupError as error:
                logging.getLogger(__name__).warning(
                    "citation: %s", error, location=parent
                )
                continue
            end = citation.end
            inside = said[citation.start : end]
            if inside.count("(") > inside.count(")") and said[end:][:1] == ")":
                end += 1
            parts.append(nodes.Text(said[done : citation.start]))
            parts.append(
                nodes.reference(
                    "",
                    said[citation.start : end],
                    internal=True,
                    refuri=f"{target}#cite-{key}",
                    classes=["citation-link"],
                )
            )
            done = end
        if parts:
            parent.replace(text, [*parts, nodes.Text(said[done:])])


def join(parent) -> None:
    """Make neighbouring texts one: Markdown's lines are texts of their own."""
    from docutils import nodes

    children = []
    for child in parent.children:
        last = children[-1] if children else None
        if isinstance(child, nodes.Text) and isinstance(last, nodes.Text):
            children[-1] = nodes.Text(last.astext() + child.astext())
        else:
            children.append(child)
    if len(children) < len(parent.children):
        parent.clear()
        parent.extend(children)
