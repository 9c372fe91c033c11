"""Photograph the course in use: ``python -m docs.screenshot``.

Opens lesson 01 in JupyterLab in Chromium, runs it, presses the arrow keys on
the plane of its query, and writes ``figures/course_in_use.png``, which the
README shows.
"""

import sys
import tempfile
from pathlib import Path

from tests import browser
from tools import notebooks

LESSON = "01_dot_product"
TARGET = notebooks.ROOT / "figures" / "course_in_use.png"
VIEW = ".attn-dot-product"


def main() -> int:
    """Write the picture; return the exit code."""
    from PIL import Image

    with (
        tempfile.TemporaryDirectory() as folder,
        browser.lab(Path(folder)) as address,
        browser.chrome() as chrome,
    ):
        page = chrome.new_page(
            viewport={"width": 1120, "height": 760}, device_scale_factor=1.5
        )
        lesson = browser.Lesson(page, address, LESSON)
        lesson.run_all()
        number = next(
            n
            for n, cell in enumerate(lesson.cells())
            if "QueryPlane(query" in cell["source"]
        )
        lesson.show(number - 1)
        view = page.locator(VIEW).first
        view.wait_for()
        query = view.locator(".attn-query")
        query.focus()
        for key in ["ArrowLeft"] * 14 + ["ArrowUp"] * 8:
            query.press(key)
        lesson.cell(number - 1).evaluate("(cell) => cell.scrollIntoView()")
        page.wait_for_timeout(1000)
        page.screenshot(path=TARGET)
    # A palette is a third of the size, and nobody sees the difference.
    picture = Image.open(TARGET).convert("RGB")
    picture.quantize(128, dither=Image.Dither.NONE).save(TARGET, optimize=True)
    print(f"{TARGET.name}: {TARGET.stat().st_size // 1000} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
