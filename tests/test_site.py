"""The published course: links, pictures, search, accessibility, phones.

``make test-site`` builds the site once (half a minute) and looks at it from
the file system, as a reader does who has no network.
"""

import hashlib
import posixpath
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

from attn_course import start_here
from tests import browser
from tools import notebooks

pytestmark = pytest.mark.site
ROOT = notebooks.ROOT
NAMES = notebooks.lessons()
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
PICTURES = ROOT / "build" / "screenshots" / "site"
# Attributes that hold an address.
ADDRESSES = ("href", "src", "srcset", "poster", "data", "action")


@pytest.fixture(scope="session")
def site():
    """The site, built now: a warning fails."""
    from docs import build

    build.html()
    return build.SITE


@pytest.fixture(scope="session")
def pages(site):
    """Every page, parsed, by its address from the site's root."""
    from lxml import html

    parser = html.HTMLParser(encoding="utf-8")
    return {
        path.relative_to(site).as_posix(): html.parse(str(path), parser)
        for path in sorted(site.rglob("*.html"))
        if "_static" not in path.parts
    }


@pytest.fixture(scope="session")
def chrome():
    with browser.chrome() as running:
        yield running


class Visit:
    """A page that is open, and what it asked for and complained of."""

    def __init__(self, chrome, site, name, *, theme="light", width=1280):
        self.context = chrome.new_context(
            viewport={"width": width, "height": 1000 if width > 600 else 844},
            color_scheme=theme,
        )
        self.page = self.context.new_page()
        self.asked, self.failed, self.errors = [], [], []
        self.page.on("request", lambda r: self.asked.append(r.url))
        self.page.on("requestfailed", lambda r: self.failed.append(r.url))
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.on("console", self._console)
        path, _, query = name.partition("?")
        self.page.goto((site / path).as_uri() + f"?{query}" * bool(query))
        self.page.evaluate(
            "() => window.MathJax?.startup?.promise.then(() => 0)"
        )

    def _console(self, message):
        if message.type == "error":
            self.errors.append(message.text)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.context.close()


def outside(url, site):
    """Say whether an address leads out of the site's folder."""
    return not url.startswith((site.as_uri() + "/", "data:", "about:"))


# Links and pictures --------------------------------------------------------


def addresses(tree):
    """Yield each element and each address that it holds."""
    for element in tree.iter():
        if not isinstance(element.tag, str):
            continue
        for name in ADDRESSES:
            if value := element.get(name):
                yield element, value


def anchors(tree):
    return {e.get("id") for e in tree.iter() if e.get("id")} | {
        e.get("name") for e in tree.iter("a") if e.get("name")
    }


def broken_links(pages, site):
    """Return every address that leads nowhere, and how many were followed."""
    ids = {name: anchors(tree) for name, tree in pages.items()}
    broken, followed, external = [], 0, 0
    for name, tree in pages.items():
        for _, value in addresses(tree):
            parts = urlsplit(value)
            if parts.scheme in ("http", "https"):
                external += 1
                if not re.fullmatch(r"[\w-]+(\.[\w-]+)+", parts.netloc):
                    broken.append(f"{name}: {value}: no host")
                continue
            if parts.scheme == "data":
                continue
            followed += 1
            if parts.scheme or value.startswith("/"):
                broken.append(f"{name}: {value}: not inside the site")
                continue
            address, anchor = urldefrag(value)
            place = name
            if address:
                address = unquote(address.split("?")[0])
                place = posixpath.normpath(
                    posixpath.join(posixpath.dirname(name), address)
                )
            if not (site / place).is_file():
                broken.append(f"{name}: {value}: no such file")
            elif anchor and place in ids and unquote(anchor) not in ids[place]:
                broken.append(f"{name}: {value}: no such anchor")
    return broken, followed, external


def test_every_link_anchor_and_picture_is_there(site, pages):
    broken, followed, external = broken_links(pages, site)
    print(f"{len(pages)} pages, {followed} inner links, {external} outer")
    assert broken == []
    assert len(pages) > len(NAMES) and followed > 1000


def test_the_check_of_links_bites(tmp_path):
    from lxml import html

    (tmp_path / "a.html").write_text("")
    tree = html.document_fromstring(
        '<a href="a.html">1</a><a href="b.html">2</a><a href="#x">3</a>'
        '<img src="c.png"><a href="https://bad host/">4</a>'
        '<a href="/etc/passwd">5</a><p id="y"></p><a href="#y">6</a>'
    )
    broken, followed, external = broken_links({"a.html": tree}, tmp_path)
    assert [line.split(": ")[1] for line in broken] == [
        "b.html",
        "#x",
        "c.png",
        "https://bad host/",
        "/etc/passwd",
    ]
    assert (followed, external) == (6, 1)


def test_every_picture_has_an_alt_text(pages):
    found = 0
    for name, tree in pages.items():
        for picture in tree.iter("img"):
            found += 1
            alt = picture.get("alt") or ""
            assert len(alt.split()) >= 3, f"{name}: alt text {alt!r}"
    assert found >= 100


def test_nothing_is_loaded_from_elsewhere(site, pages):
    for name, tree in pages.items():
        for element, value in addresses(tree):
            if element.tag not in ("a", "form"):
                assert not urlsplit(value).netloc, f"{name}: {value}"
    for sheet in site.rglob("*.css"):
        used = re.findall(
            r"(?:url\(|@import\s*)[\"']?(?:https?:)?//",
            sheet.read_text("utf-8"),
        )
        assert not used, sheet


def test_each_lesson_has_its_page_with_its_outputs(pages):
    for name in NAMES:
        tree = pages[f"lessons/{name}.html"]
        notebook = notebooks.read_notebook(name)
        wanted = sum(
            "<img" in str(o.get("data", {}).get("text/html", ""))
            for c in notebook.cells
            for o in c.get("outputs", [])
        )
        shown = tree.xpath("//div[contains(@class, 'cell_output')]//img")
        assert len(shown) >= wanted
        code = [c for c in notebook.cells if c.cell_type == "code"]
        cells = tree.xpath("//div[contains(@class, 'cell_input')]")
        assert len(cells) == len(code)
        assert (
            "Run this cell to move the controls."
            in tree.getroot().text_content()
        )


# What is made --------------------------------------------------------------


def test_glossary_has_every_term_in_both_languages(pages):
    tree = pages["glossary.html"]
    terms = [e.text_content().strip("#\n ") for e in tree.iter("dt")]
    assert sorted(terms) == sorted(t.english for t in start_here.GLOSSARY)
    chinese = [e.text_content() for e in tree.xpath("//span[@lang='zh']")]
    assert sorted(chinese) == sorted(t.chinese for t in start_here.GLOSSARY)


def test_every_public_function_of_a_lesson_is_in_the_reference(pages):
    import importlib
    import inspect

    for slug in (name[3:] for name in NAMES):
        module = importlib.import_module(f"attn_course.{slug}")
        ids = anchors(pages[f"api/attn_course.{slug}.html"])
        for name, thing in vars(module).items():
            place = f"{getattr(thing, '__module__', '')}."
            own = place.startswith(f"{module.__name__}.")  # or in its package
            if own and not name.startswith("_") and inspect.isroutine(thing):
                assert f"attn_course.{slug}.{name}" in ids


def test_signatures_name_shapes_and_not_modules(pages):
    tree = pages["api/attn_course.scaled_dot_product.html"]
    place = "attn_course.scaled_dot_product.stable_softmax"
    said = tree.xpath(f"//dt[@id='{place}']")[0].text_content()
    assert "scores: Float[Tensor, '*batch k']" in said
    assert "jaxtyping" not in said and "torch." not in said


def test_downloads_are_the_lessons_and_the_zip_repeats(site, tmp_path):
    from docs import build

    stored = {
        p.name: p for p in (site / "_downloads").rglob("*") if p.is_file()
    }
    for name in NAMES:
        for path in (
            notebooks.FOLDER / f"{name}.ipynb",
            notebooks.FOLDER / "source" / f"{name}.py",
        ):
            assert stored[path.name].read_bytes() == path.read_bytes()
    packed = stored["attention-course.zip"].read_bytes()
    build.pack(tmp_path / "again.zip")
    assert hashlib.sha256(packed).digest() == (
        hashlib.sha256((tmp_path / "again.zip").read_bytes()).digest()
    )


def test_the_zip_holds_a_course_that_can_be_installed(site):
    (path,) = site.rglob("attention-course.zip")
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        assert archive.testzip() is None
    for name in (
        "pyproject.toml",
        "requirements.txt",
        "constraints.txt",
        "attn_course/session.py",
        "figures/attention_flow.svg",
        *(f"notebooks/{n}.ipynb" for n in NAMES),
    ):
        assert f"attention-course/{name}" in names
    stored = {
        p.relative_to(ROOT).as_posix()
        for p in (ROOT / "attn_course").rglob("*.gz")
    }
    assert {f"attention-course/{s}" for s in stored} <= names


def test_places_to_run_a_lesson_only_where_there_is_a_repository(monkeypatch):
    from docs import repository

    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    assert repository.places("01_dot_product") == {}
    monkeypatch.setenv("GITHUB_REPOSITORY", "someone/attention")
    found = repository.places("01_dot_product")
    assert all("someone/attention" in url for url in found.values())
    assert all("01_dot_product.ipynb" in url for url in found.values())
    monkeypatch.setenv("GITHUB_REPOSITORY", "no address")
    with pytest.raises(ValueError, match="owner/name, got 'no address'"):
        repository.places("01_dot_product")


# References ----------------------------------------------------------------


def cited():
    """Yield each citation of lessons, package and data cards, with its file."""
    from docs import citations

    files = [
        *sorted(notebooks.FOLDER.glob("source/*.py")),
        *sorted(notebooks.PACKAGE.rglob("*.py")),
        *sorted(notebooks.PACKAGE.rglob("CARD.md")),
    ]
    for path in files:
        text = re.sub(r"^# ?", "", path.read_text("utf-8"), flags=re.M)
        for citation in citations.find(text):
            yield path.relative_to(ROOT), citation


def test_every_citation_has_an_entry_and_every_entry_is_cited():
    from docs import citations

    known = citations.entries()
    used, missing = set(), []
    for path, citation in cited():
        try:
            used.add(citations.match(citation, known))
        except LookupError as error:
            missing.append(f"{path}: {error}")
    assert missing == []
    assert set(known) - used == set()


@pytest.mark.parametrize(
    "text, said",
    [
        ("Vaswani et al. (2017), section 3", "Vaswani et al. (2017)"),
        ("(Vaswani et al.,\n2017)", "Vaswani et al. (2017)"),
        ("Voita et al. 2019 train", "Voita et al. (2019)"),
        ("Jain and Wallace (2019)", "Jain and Wallace (2019)"),
        ("Press, Smith\nand Lewis (2022)", "Press and Smith and Lewis (2022)"),
        ("van den Oord et al. (2016)", "van den Oord et al. (2016)"),
        ("Spärck Jones, 1972)", "Spärck Jones (1972)"),
        ("Wilson's (1927) interval", "Wilson (1927)"),
        ("as in March 2024", None),
        ("in 2017: `x`", None),
    ],
)
def test_citations_are_recognised(text, said):
    from docs import citations

    found = [str(c) for c in citations.find(text)]
    assert found == ([said] if said else [])


def test_an_unknown_or_wrongly_named_citation_is_refused():
    from docs import citations

    known = citations.entries()
    for text in (
        "Nobody et al. (2017)",
        "Vaswani et al. (2018)",
        "Vaswani and Shazeer (2017)",
        "Hahn et al. (2020)",
    ):
        (citation,) = citations.find(text)
        with pytest.raises(LookupError, match="0 entries fit"):
            citations.match(citation, known)


def test_citations_on_pages_lead_to_their_entries(pages):
    links = [
        e.get("href")
        for name, tree in pages.items()
        if name.startswith("lessons/")
        for e in tree.xpath("//a[contains(@class, 'citation-link')]")
    ]
    assert len(links) >= 100
    assert all("references.html#cite-" in link for link in links)


# In the browser ------------------------------------------------------------

# Style sheets are not fetched once more: a file: page may not.
SCAN = "() => axe.run({preload: false, resultTypes: ['violations']})"

KINDS = [
    "index.html",
    "lessons/index.html",
    *(f"lessons/{n}.html" for n in NAMES),
    "api/index.html",
    "api/attn_course.scaled_dot_product.html",
    "api/attn_course.transformer.html",
    "api/attn_course.checks.engine.html",
    "glossary.html",
    "downloads.html",
    "references.html",
    "architecture.html",
    "contributing.html",
    "changelog.html",
    "teaching/index.html",
    "search.html",
    "genindex.html",
]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", KINDS)
def test_page_is_accessible_and_offline(site, chrome, name, theme):
    with Visit(chrome, site, name, theme=theme) as visit:
        page = visit.page
        page.evaluate(
            "() => document.querySelectorAll('details').forEach("
            "(part) => { part.open = true })"
        )
        assert page.evaluate("document.documentElement.dataset.theme") == theme
        page.add_script_tag(path=AXE)
        found = page.evaluate(SCAN)
        serious = [
            f"{v['id']}: {v['help']}: {n['html'][:200]} {n['failureSummary']}"
            for v in found["violations"]
            for n in v["nodes"]
            if v["impact"] in ("serious", "critical")
        ]
        assert len(found["passes"]) >= 10  # it did look
        assert serious == []
        assert [u for u in visit.asked if outside(u, site)] == []
        assert visit.failed == []
        assert visit.errors == []


def test_axe_bites(site, chrome):
    with Visit(chrome, site, "index.html") as visit:
        visit.page.add_script_tag(path=AXE)
        visit.page.evaluate(
            "() => document.querySelector('article').insertAdjacentHTML("
            "'beforeend', '<img src=\"data:,\"><p style=\"color:#eee;"
            "background:#fff\">pale</p>')"
        )
        found = visit.page.evaluate(SCAN)
        assert {"image-alt", "color-contrast"} <= {
            v["id"] for v in found["violations"]
        }


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_scrolls_sideways_on_a_phone(site, pages, chrome, theme):
    wide = []
    with Visit(chrome, site, "index.html", theme=theme, width=390) as visit:
        for name in pages:
            visit.page.goto((site / name).as_uri())
            visit.page.evaluate(
                "() => window.MathJax?.startup?.promise.then(() => 0)"
            )
            width = visit.page.evaluate("document.documentElement.scrollWidth")
            if width > 390:
                wide.append(f"{name}: {width}")
    assert wide == []


@pytest.mark.parametrize(
    "word, page",
    [
        ("softmax", "lessons/01_dot_product.html"),
        ("stable_softmax", "api/attn_course.scaled_dot_product.html"),
        ("pruning", "glossary.html"),
    ],
)
def test_search_finds_a_word_from_the_file_system(site, chrome, word, page):
    with Visit(chrome, site, f"search.html?q={word}") as visit:
        visit.page.wait_for_selector("#search-results li a")
        visit.page.wait_for_function(
            "() => /found/.test(document.querySelector("
            "'#search-results').innerText)"
        )
        found = visit.page.eval_on_selector_all(
            "#search-results li a", "links => links.map((a) => a.href)"
        )
        assert any(page in urldefrag(link)[0] for link in found), found
        assert [u for u in visit.asked if outside(u, site)] == []


def test_formulas_are_set_and_can_be_read_aloud(site, chrome):
    with Visit(chrome, site, "lessons/01_dot_product.html") as visit:
        page = visit.page
        set_ = page.locator("mjx-container:has(svg)").count()
        aloud = page.locator("mjx-assistive-mml math").count()
        written = page.locator(".math").count()
        assert set_ == aloud == written > 5
        assert page.locator("mjx-merror, [data-mjx-error]").count() == 0


@pytest.mark.parametrize("name", NAMES)
def test_no_formula_is_an_error(site, chrome, name):
    with Visit(chrome, site, f"lessons/{name}.html") as visit:
        page = visit.page
        assert page.locator("mjx-merror, [data-mjx-error]").count() == 0
        assert page.locator("mjx-container").count() == (
            page.locator(".math").count()
        )


def test_the_theme_can_be_switched(site, chrome):
    with Visit(chrome, site, "index.html") as visit:
        colour = "getComputedStyle(document.body).backgroundColor"
        seen = {visit.page.evaluate(colour)}
        visit.page.evaluate(
            "() => { document.documentElement.dataset.theme = 'dark' }"
        )
        visit.page.wait_for_timeout(500)
        seen.add(visit.page.evaluate(colour))
        assert len(seen) == 2


def test_solutions_are_folded_and_open_on_a_click(site, chrome):
    with Visit(chrome, site, "lessons/01_dot_product.html") as visit:
        folded = visit.page.locator("details.above-input, details.hide").first
        code = folded.locator(".highlight").first
        assert not code.is_visible()
        folded.locator("summary").click()
        assert code.is_visible()


@pytest.mark.parametrize(
    "name, theme, width",
    [
        ("index.html", "light", 1280),
        ("lessons/03_self_attention.html", "dark", 1280),
        ("lessons/09_image_attention.html", "light", 390),
        ("api/attn_course.transformer.html", "dark", 390),
        ("glossary.html", "light", 1280),
    ],
)
def test_pictures_of_pages_are_kept_to_look_at(
    site, chrome, name, theme, width
):
    PICTURES.mkdir(parents=True, exist_ok=True)
    target = PICTURES / f"{Path(name).stem}-{theme}-{width}.png"
    with Visit(chrome, site, name, theme=theme, width=width) as visit:
        visit.page.screenshot(path=target)
        pictures = visit.page.evaluate(
            "() => [...document.images].filter("
            "(i) => i.complete && !i.naturalWidth).map((i) => i.alt)"
        )
    assert pictures == []
    assert target.stat().st_size > 10_000


# On paper -------------------------------------------------------------------


def test_pdf_has_bookmarks_inner_links_and_no_path_of_this_machine(
    site, pages, tmp_path
):
    from pypdf import PdfReader

    target = tmp_path / "course.pdf"
    # By itself: Playwright runs once per process.
    code = (
        "import sys; from pathlib import Path; from docs import pdf; "
        "pdf.make(*map(Path, sys.argv[1:]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(site), str(target)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.stdout.startswith(f"{target.name}: "), result.stderr
    assert not (site / "print.html").exists()
    reader = PdfReader(target)
    titles = [o.title for o in reader.outline if not isinstance(o, list)]
    for name in NAMES:
        (heading,) = pages[f"lessons/{name}.html"].xpath("//h1")
        assert heading.text_content().rstrip("#") in titles
    assert len(reader.pages) > 10 * len(NAMES)
    inner = outer = 0
    for page in reader.pages:
        for note in page.get("/Annots") or []:
            note = note.get_object()
            uri = str(note.get("/A", {}).get("/URI", ""))
            assert not uri.startswith("file:"), uri
            outer += bool(uri)
            inner += "/Dest" in note
    assert inner > 200 and outer > 50
    assert reader.trailer["/Root"]["/MarkInfo"]["/Marked"]  # tagged
    assert ROOT.as_posix().encode() not in target.read_bytes()
    said = " ".join(reader.pages[0].extract_text().split())
    assert said.startswith("Attention, from one dot product up")


def test_links_of_a_page_of_the_repository_lead_to_the_site(tmp_path):
    from docs import build

    page = ROOT / "teaching" / "unwritten.md"
    target = build.SOURCE / "teaching"
    text = (
        "[a](../notebooks/01_dot_product.ipynb#The-hand-example) "
        "[b](../CONTRIBUTING.md) [c](../Makefile) [d](https://example.org) "
        "[e](#here) [f](gone.pdf) [g](../docs/architecture.md) "
        "![h](../figures/attention_flow.svg)"
    )

    class Page(type(page)):
        def read_text(self, encoding):
            return text

    assert build.relink(Page(page), target) == (
        "[a](../lessons/01_dot_product.ipynb#the-hand-example) "
        "[b](../contributing.md) c [d](https://example.org) [e](#here) f "
        "[g](../architecture.md) ![h](../figures/attention_flow.svg)"
    )
