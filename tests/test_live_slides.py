"""Slides in JupyterLab itself: a lesson in jupyterlab-rise, its views alive."""

import pytest

from tests import browser

pytestmark = pytest.mark.classroom
NAME = "01_dot_product"
# The slide that is shown holds the view, and no fragment still hides it.
SHOWN = """(kind) => {
  const slide = [...document.querySelectorAll('section.present')].at(-1);
  const view = slide?.querySelector(kind);
  return view != null && !view.closest('.fragment:not(.visible)');
}"""
# Is the slide taller than the screen, and if so: can it be scrolled?
TALL = """() => {
  const slide = [...document.querySelectorAll('section.present')].at(-1);
  if (slide.scrollHeight <= window.innerHeight) return null;
  return ['auto', 'scroll'].includes(getComputedStyle(slide).overflowY);
}"""


def turn_to(page, kind, tall):
    """Press the space bar until a view of this kind is shown."""
    for _ in range(100):
        tall.append(page.evaluate(TALL))
        if page.evaluate(SHOWN, kind):
            page.wait_for_timeout(1_000)  # the slide slides in
            return page.locator(kind)
        page.keyboard.press("Space")
        page.wait_for_timeout(300)
    raise AssertionError(f"no slide shows {kind}")


def test_views_move_on_live_slides(tmp_path):
    with browser.lab(tmp_path) as address, browser.chrome() as chrome:
        lesson = browser.Lesson(chrome.new_page(), address, NAME)
        lesson.run_all()
        lesson.page.evaluate(
            "() => window.jupyterapp.commands.execute('docmanager:save')"
        )
        page = chrome.new_page(viewport={"width": 960, "height": 540})
        page.goto(f"{address}/rise/notebooks/{NAME}.ipynb")
        page.wait_for_selector("section.present")
        page.wait_for_selector(".attn-explorer", state="attached")

        tall = []
        plane = turn_to(page, ".attn-dot-product", tall)
        status = plane.locator("[role=status]")
        before = status.inner_text()
        plane.locator(".attn-query").focus()
        page.keyboard.press("ArrowLeft")
        browser.wait_until(lambda: status.inner_text() != before)
        assert status.inner_text() != before

        explorer = turn_to(page, ".attn-explorer", tall)
        status = explorer.locator("[role=status]")
        before = status.inner_text()
        handle = explorer.locator(".noUi-handle").first.bounding_box()
        x = handle["x"] + handle["width"] / 2
        y = handle["y"] + handle["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 60, y, steps=5)
        page.mouse.up()
        browser.wait_until(lambda: status.inner_text() != before)
        assert status.inner_text() != before
        page.screenshot(path=tmp_path / "live.png")
        found = [one for one in tall if one is not None]
        assert found and all(found)
