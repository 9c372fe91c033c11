"""Slides: types by rule, pages without network, nothing off the screen."""

import re

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from teaching import slides
from tools import notebooks

LESSONS = notebooks.lessons()
TYPES = {"slide", "subslide", "fragment", "skip", "notes"}


def text(source):
    return new_markdown_cell(source)


def code(source, *tags, outputs=()):
    return new_code_cell(
        source, metadata={"tags": list(tags)}, outputs=list(outputs)
    )


def test_types_follow_the_rule():
    cells = [
        text("# Why?\n\nA question."),
        code("import torch\n\nsession.start(0)"),
        text("## A section"),
        text("A sentence."),
        code("print(1)"),
        code("plotting.show(figure)"),
        text("What it shows."),
        text("### Exercise 1: do it (5 min, easy)"),
        code("answer = ...\n\nchecks.a.b(answer)"),
        text("<details><summary>Hint</summary>\n\nSo.\n\n</details>"),
        code("# Solution\nanswer = 1", "solution"),
    ]
    assert notebooks.slide_types(cells) == [
        "slide",
        "skip",
        "slide",
        "fragment",
        "fragment",
        "subslide",
        "subslide",
        "subslide",
        "fragment",
        "notes",
        "skip",
    ]


def test_a_full_slide_is_followed_by_another():
    cells = [text("## A section"), *(code("a = 1\n" * 5) for _ in range(4))]
    assert notebooks.slide_types(cells) == [
        "slide",
        "fragment",
        "fragment",
        "subslide",
        "fragment",
    ]


@pytest.mark.parametrize("name", LESSONS)
def test_every_cell_of_every_lesson_has_its_type(name):
    cells = notebooks.read_notebook(name).cells
    found = [c.metadata.get("slideshow", {}).get("slide_type") for c in cells]
    assert found == notebooks.slide_types(cells), (
        "run: python -m tools.notebooks mark"
    )
    assert set(found) <= TYPES and found[0] == "slide"
    assert found.count("slide") >= 5


def outputs(book):
    return [c.outputs for c in book.cells if c.cell_type == "code"]


def test_mark_keeps_outputs_and_runs_nothing(tmp_path):
    name = LESSONS[1]
    folder = tmp_path / "notebooks"
    (folder / "source").mkdir(parents=True)
    for part in (f"source/{name}.py", f"{name}.ipynb"):
        (folder / part).write_bytes((notebooks.FOLDER / part).read_bytes())
    book = notebooks.read_notebook(name, folder)
    for cell in book.cells:
        cell.metadata.pop("slideshow", None)
    import nbformat

    nbformat.write(book, folder / f"{name}.ipynb")
    assert notebooks.same_cells(name, folder)
    assert notebooks.mark(name, folder)
    again = notebooks.read_notebook(name, folder)
    assert not notebooks.same_cells(name, folder)
    assert outputs(again) == outputs(book)
    assert again.metadata == book.metadata
    assert not notebooks.mark(name, folder)


def test_mark_refuses_changed_code(tmp_path):
    name = LESSONS[1]
    (tmp_path / "source").mkdir()
    source = (notebooks.FOLDER / "source" / f"{name}.py").read_text("utf-8")
    (tmp_path / "source" / f"{name}.py").write_text(
        source + "\n# %%\nnew = 1\n", "utf-8"
    )
    with pytest.raises(notebooks.BuildError, match="not built"):
        notebooks.mark(name, tmp_path)
    (tmp_path / f"{name}.ipynb").write_bytes(
        (notebooks.FOLDER / f"{name}.ipynb").read_bytes()
    )
    with pytest.raises(notebooks.BuildError, match="its code has changed"):
        notebooks.mark(name, tmp_path)


PICTURE = new_output("display_data", data={"text/html": "<img src='data:x'>"})


def arranged(*cells):
    from nbformat.v4 import new_notebook

    for cell, kind in zip(cells, notebooks.slide_types(cells)):
        cell.metadata["slideshow"] = {"slide_type": kind}
    found = slides.arrange(new_notebook(cells=list(cells))).cells
    return [(c.metadata.slideshow.slide_type, c) for c in found]


def test_a_picture_stands_alone_and_its_code_in_the_notes():
    (_, _), (kind, shown), (last, note) = arranged(
        text("# A\n\n"), code("plotting.show(1)", outputs=[PICTURE])
    )
    assert kind == "subslide" and shown.metadata.tags == ["remove-input"]
    assert last == "notes" and "plotting.show(1)" in note.source


def test_long_code_and_long_output_are_taken_apart():
    long = new_output("stream", name="stdout", text="line\n" * 60)
    found = arranged(text("# A"), code("a = 1\n" * 20, outputs=[long]))
    kinds = [kind for kind, _ in found]
    assert kinds == ["slide", "subslide", "subslide", "subslide", "subslide"]
    printed = "".join(o.text for _, c in found[2:] for o in c.outputs)
    assert printed.count("line") == 60
    assert all(slides.height(c) <= slides.LINES + 2 for _, c in found)


def test_long_prose_is_cut_between_paragraphs():
    paragraph = "word " * 90
    found = arranged(text("# A\n\n" + "\n\n".join([paragraph.strip()] * 6)))
    assert len(found) > 1
    whole = " ".join(c.source for _, c in found)
    assert whole.count("word") == 6 * 90


# In the browser ------------------------------------------------------------


@pytest.fixture(scope="module")
def show(tmp_path_factory):
    """Write all slides and open a page of 1280 x 720."""
    pytest.importorskip("playwright.sync_api")
    from tests.browser import chrome

    if not (slides.MODULES / "reveal.js").exists():
        pytest.skip("no reveal.js: run `npm ci`")
    with chrome() as browser:
        target = tmp_path_factory.mktemp("slides")
        yield {p.stem: p for p in slides.write(target)}, browser


def ready(show, name):
    """Open a lesson's slides, and wait until they are laid out."""
    pages, browser = show
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.goto(pages[name].as_uri())
    page.wait_for_selector("html[data-ready=yes]", state="attached")
    return page


MEASURE = """async () => {
  const found = [];
  for (const slide of Reveal.getSlides()) {
    const at = Reveal.getIndices(slide);
    Reveal.slide(at.h, at.v, 99);
    await new Promise((go) => requestAnimationFrame(go));
    let right = 0, bottom = 0, small = 99, cut = 0;
    for (const one of slide.querySelectorAll('*')) {
      if (one.closest('aside, mjx-assistive-mml, details:not([open]) > :not(summary)'))
        continue;
      const box = one.getBoundingClientRect();
      if (!box.width || !box.height) continue;
      right = Math.max(right, box.right);
      bottom = Math.max(bottom, box.bottom);
      const own = getComputedStyle(one);
      if (one.tagName === 'PRE' && one.scrollWidth > one.clientWidth + 1) cut++;
      if (['PRE', 'P', 'LI', 'TD'].includes(one.tagName)
          && one.innerText.trim())
        small = Math.min(small, parseFloat(own.fontSize)
          * Number(slide.dataset.scale || 1));
    }
    found.push({
      title: slide.innerText.trim().slice(0, 50), right, bottom, small, cut,
      scroll: slide.scrollHeight - slide.clientHeight,
    });
  }
  return found;
}"""


@pytest.mark.browser
@pytest.mark.parametrize("name", LESSONS)
def test_no_slide_leaves_the_screen_or_the_machine(show, name):
    pages, browser = show
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    outside, errors = [], []
    page.on(
        "request",
        lambda r: (
            None
            if r.url.startswith(("file:", "data:", "blob:"))
            else outside.append(r.url)
        ),
    )
    page.on("requestfailed", lambda r: errors.append(r.url))
    page.on("pageerror", lambda e: errors.append(str(e)))
    page.on("console", lambda m: m.type == "error" and errors.append(m.text))
    page.goto(pages[name].as_uri())
    page.wait_for_selector(
        "html[data-ready=yes]", state="attached", timeout=120_000
    )
    found = page.evaluate(MEASURE)
    page.close()
    assert not outside and not errors
    assert len(found) >= 20
    off = [
        s
        for s in found
        if s["bottom"] > 720.5
        or s["right"] > 1280.5
        or s["scroll"] > 1
        or s["cut"]
    ]
    assert not off
    tiny = [s for s in found if s["small"] < 12]
    assert not tiny


@pytest.mark.browser
def test_a_slide_that_is_too_tall_would_be_seen(show):
    page = ready(show, LESSONS[1])
    page.evaluate(
        "() => { const p = document.createElement('p');"
        " p.style.height = '900px'; p.innerText = 'tall';"
        " Reveal.getSlides()[3].append(p); }"
    )
    assert page.evaluate(MEASURE)[3]["bottom"] > 720
    page.close()


@pytest.mark.browser
def test_formulas_are_set(show):
    page = ready(show, LESSONS[2])
    assert page.locator("mjx-container svg").count() >= 5
    left = page.evaluate(
        "() => [...document.querySelectorAll('.reveal p')].filter("
        "(p) => /\\$[^$]+\\$/.test(p.innerText)).map((p) => p.innerText)"
    )
    assert not left
    page.close()


def test_pages_name_no_address(tmp_path):
    made = slides.page(LESSONS[1])
    loads = re.findall(
        r"<(?:script|link|img)[^>]*(?:src|href)=\"([^\"]*)", made
    )
    assert loads and not [u for u in loads if u.startswith(("http", "//"))]
    assert "reveal.js/dist/reveal.js" in made


def test_a_missing_package_is_named(tmp_path):
    with pytest.raises(slides.SlidesError, match="npm ci"):
        slides.vendor(tmp_path / "vendor", tmp_path)
