"""Print the built site as one PDF: one page of everything, by Chromium.

Printed in one go, so that links jump inside the document, bookmarks follow
the headings, pages are numbered through, and the tags that a screen reader
needs are kept.
"""

import os
import posixpath
import re
import shutil
from pathlib import Path
from urllib.parse import urldefrag

from lxml import html

from tools import notebooks

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
]
FOOTER = (
    '<div style="font-size:8px;width:100%;text-align:center">'
    '<span class="pageNumber"></span></div>'
)
STYLE = """
article + article { break-before: page; }
.headerlink, .copybtn { display: none; }
.cell_input, div.highlight, .output { break-inside: avoid; }
"""
# What a click would open is open.
OPEN = """() => document.querySelectorAll('details').forEach(
  (part) => { part.open = true })"""


def order(site: Path) -> list[str]:
    """Return the pages in reading order: home, lessons, then the rest.

    The API reference is left out: one looks it up, nobody reads it.
    """
    names = [f"lessons/{name}.html" for name in notebooks.lessons()]
    teaching = sorted(
        page.relative_to(site).as_posix()
        for page in (site / "teaching").glob("*.html")
        if page.stem != "index"
    )
    return [
        "index.html",
        "lessons/index.html",
        *names,
        "glossary.html",
        *teaching,
        "references.html",
    ]


def combine(site: Path) -> str:
    """Return all pages as one; what was a page is an ``<article>``.

    Links to pages that are not in it, and to downloads, become plain text:
    a PDF is read away from the site.
    """
    pages = order(site)
    roots = {name: _read(site / name) for name in pages}
    root = roots[pages[0]]
    for script in root.xpath("//script"):
        script.drop_tree()
    articles = []
    scripts: list = []
    for name in pages:
        article = roots[name].xpath("//article")[0]
        _move(article, name, pages)
        articles.append(article)
        scripts = scripts or _mathjax(roots[name], name)
    head, body = root.find("head"), root.find("body")
    body.clear()
    body.set("class", "bd-content bd-article")
    body.extend(articles)
    head.extend(scripts)
    style = html.Element("style")
    style.text = STYLE
    head.append(style)
    root.set("data-theme", "light")
    root.set("data-mode", "light")
    return html.tostring(root, encoding="unicode", doctype="<!DOCTYPE html>")


def _read(path: Path):
    """Return the root of a page."""
    return html.parse(str(path), html.HTMLParser(encoding="utf-8")).getroot()


def _mathjax(root, page: str) -> list:
    """Return the scripts that set formulas, if the page has any."""
    found = []
    for script in root.xpath("//script"):
        source = script.get("src", "")
        if "MathJax = " in (script.text or "") or "mathjax/" in source:
            if source:
                script.set("src", _from_root(source, page))
            found.append(script)
    return found


def _from_root(address: str, page: str) -> str:
    """Return an address inside a page as it reads from the site's root."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), address))


def _name(page: str, anchor: str) -> str:
    """Return an anchor's name in the whole: unique, since pages repeat."""
    return re.sub(r"[/.]", "-", page.removesuffix(".html")) + "--" + anchor


def _move(article, page: str, pages: list[str]) -> None:
    """Rewrite a page's names, links and pictures for its place in the whole."""
    for part in article.xpath(".//*[@id]"):
        part.set("id", _name(page, part.get("id")))
    article.set("id", _name(page, ""))
    for label in article.xpath(".//*[@for or @aria-labelledby]"):
        for what in ("for", "aria-labelledby"):
            if label.get(what):
                label.set(what, _name(page, label.get(what)))
    for picture in article.xpath(".//img[@src]"):
        if not picture.get("src").startswith("data:"):
            picture.set("src", _from_root(picture.get("src"), page))
    for link in article.xpath(".//a[@href]"):
        address, anchor = urldefrag(link.get("href"))
        if re.match(r"[a-z]+:", address):
            continue
        target = _from_root(address, page) if address else page
        if target in pages:
            link.set("href", "#" + _name(target, anchor))
        else:
            link.drop_tag()


def make(site: Path, target: Path) -> None:
    """Print the site into one PDF with bookmarks and inner links.

    Raises:
        FileNotFoundError: if no Chromium is found.
    """
    from playwright.sync_api import sync_playwright

    browser = os.environ.get("CHROMIUM") or next(
        filter(None, map(shutil.which, BROWSERS)), None
    )
    if browser is None:
        raise FileNotFoundError(
            f"no Chromium found, tried {', '.join(BROWSERS)}: install it, or "
            "set CHROMIUM to its path"
        )
    draft = site / "print.html"
    draft.write_text(combine(site), "utf-8")
    try:
        with sync_playwright() as play:
            chrome = play.chromium.launch(
                executable_path=browser, args=OPTIONS
            )
            page = chrome.new_page(color_scheme="light")
            page.set_default_timeout(600_000)
            page.goto(draft.as_uri())
            page.wait_for_function("() => window.MathJax?.startup?.promise")
            page.evaluate("() => MathJax.startup.promise")
            page.evaluate(OPEN)
            headings = page.evaluate(
                """() => [...document.querySelectorAll(
                  'h1, h2, h3, h4, h5, h6')].map(
                  (h) => h.innerText.replace(/#$/, '').replace(/\\s+/g, ' ')
                    .trim())"""
            )
            page.pdf(
                path=target,
                format="A4",
                print_background=True,
                outline=True,
                tagged=True,
                display_header_footer=True,
                header_template="<span></span>",
                footer_template=FOOTER,
                margin={
                    "top": "15mm",
                    "bottom": "15mm",
                    "left": "15mm",
                    "right": "15mm",
                },
            )
            chrome.close()
    finally:
        draft.unlink()
    pages = finish(target, headings)
    print(
        f"{target.name}: {pages} pages, {target.stat().st_size / 1e6:.0f} MB"
    )


def finish(target: Path, headings: list[str]) -> int:
    """Mend the bookmarks' titles and the document's; return its pages.

    Chromium joins the words where a heading is broken into lines, and says a
    heading twice where it begins a page. Bookmarks and headings stand in the
    same order.

    Raises:
        ValueError: if there are not as many bookmarks as headings.
    """
    import logging

    from pypdf import PdfWriter
    from pypdf.generic import NameObject, TextStringObject

    # Chromium counts one object too few, which does no harm.
    logging.getLogger("pypdf").setLevel(logging.ERROR)

    writer = PdfWriter(clone_from=str(target))
    bookmarks = list(_in_order(writer.root_object["/Outlines"].get_object()))
    if len(bookmarks) != len(headings):
        raise ValueError(
            f"{target.name}: expected {len(headings)} bookmarks, one per "
            f"heading, found {len(bookmarks)}"
        )
    for bookmark, heading in zip(bookmarks, headings):
        bookmark[NameObject("/Title")] = TextStringObject(heading)
    writer.add_metadata(
        {
            "/Title": "Attention, from one dot product up",
            "/Creator": "make site-pdf",
        }
    )
    writer.write(str(target))
    return len(writer.pages)


def _in_order(item):
    """Yield the bookmarks below an item as one reads them."""
    below = item.get("/First")
    while below is not None:
        below = below.get_object()
        yield below
        yield from _in_order(below)
        below = below.get("/Next")
