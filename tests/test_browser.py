"""The lessons in JupyterLab in Chromium: run, widgets, exercises.

Pictures of every lesson are kept in ``build/screenshots``.
"""

import json
import re
import statistics
import time

import pytest
import soundfile
import torch

from attn_course.data import speech
from attn_course.dot_product import dot_product_attention
from tests import browser
from tests.browser import wait_until
from tools import notebooks

pytestmark = pytest.mark.browser
NAMES = notebooks.lessons()
PICTURES = notebooks.ROOT / "build" / "screenshots"
EXPLORER = ".attn-explorer"
# Every kind of view: what moves it (of several, which one), and whether its
# picture is drawn in the kernel.
VIEWS = {
    EXPLORER: (".noUi-handle, select", 0, True),
    ".attn-history": (".noUi-handle", 0, True),
    ".attn-text-reader": ("select", -1, True),
    ".attn-dot-product": (".attn-query", 0, False),
    ".attn-scaled": (".attn-cell", 3, False),
    ".attn-viewer": (".attn-viewer-grid", 0, False),
    ".attn-reach": ("svg", 0, False),
    ".attn-carts": ("input[type=range]", -1, False),
}


@pytest.fixture(scope="module")
def chrome():
    with browser.chrome() as running:
        yield running


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with browser.lab(tmp_path_factory.mktemp("lab")) as address:
        yield address


@pytest.fixture
def open_lesson(chrome, address):
    pages = []

    def open_it(name, server=address, **options):
        options = {"viewport": {"width": 1280, "height": 1000}, **options}
        page = chrome.new_page(**options)
        pages.append(page)
        return browser.Lesson(page, server, name)

    yield open_it
    for page in pages:
        page.close()


def picture(page, name):
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png")


def views(lesson):
    """Each view of the lesson: its cell, its kind, its place on the page."""
    for number, cell in enumerate(lesson.cells()):
        if not any(
            "application/vnd.jupyter.widget-view+json" in o.get("data", {})
            and "move the controls" in str(o["data"].get("text/html"))
            for o in cell["outputs"]
        ):
            continue
        place = lesson.cell(number).locator(", ".join(VIEWS)).first
        place.wait_for()
        kind = next(
            kind
            for kind in VIEWS
            if place.evaluate("(view, kind) => view.matches(kind)", kind)
        )
        yield number, kind, place


# Moves a view to and fro: gives the milliseconds from each move to the first
# frame after its words changed. Then moves without waiting, as a hand that
# drags does; the view must end with the words of where it stands.
MOVES = """async (view, [selector, which, times]) => {
  const part = [...view.querySelectorAll(selector)].at(which);
  const words = () => view.querySelector('[role=status]')?.textContent;
  const full = Number(part.getAttribute('aria-valuenow'))
    >= Number(part.getAttribute('aria-valuemax') ?? 1e9);
  const keys = part.matches('.attn-cell') ? ['Enter', 'Enter']
    : full || part.tagName === 'svg' ? ['ArrowLeft', 'ArrowRight']
    : ['ArrowRight', 'ArrowLeft'];
  const act = (i) => {
    if (part.tagName === 'SELECT') {
      part.selectedIndex = i % 2 ? 0 : 1;
      part.dispatchEvent(new Event('change', {bubbles: true}));
    } else if (part.type === 'range') {
      part.value = Number(part.value) + (i % 2 ? -1 : 1);
      part.dispatchEvent(new Event('input', {bubbles: true}));
    } else {
      part.dispatchEvent(
        new KeyboardEvent('keydown', {key: keys[i % 2], bubbles: true}));
    }
  };
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  const until = async (true_) => {
    const start = performance.now();
    while (!true_() && performance.now() - start < 30_000) await wait(0);
    return true_();
  };
  if (part.tagName === 'SELECT' && part.selectedIndex !== 0) {
    const before = words();
    act(1);
    await until(() => words() !== before);
  }
  const spent = [], seen = [words()];
  for (let i = 0; i < times; i++) {
    const start = performance.now();
    act(i);
    if (!await until(() => words() !== seen.at(-1))) return null;
    await new Promise(requestAnimationFrame);
    spent.push(performance.now() - start);
    seen.push(words());
  }
  for (let i = 0; i < times; i++) act(i);
  let last = words(), since = performance.now();
  await until(() => {
    if (words() !== last) [last, since] = [words(), performance.now()];
    return last === seen[0] && performance.now() - since > 1500;
  });
  return {spent, ends: words() === seen[0], seen: seen.slice(0, 3)};
}"""
TIMES = 10


def measured(view, kind):
    selector, which, _ = VIEWS[kind]
    found = view.evaluate(MOVES, [selector, which, TIMES])
    assert found is not None, f"{kind} does not change its words"
    before, changed, again = found["seen"]
    assert before == again != changed
    assert found["ends"], f"{kind}: fast moves left a stale picture"
    return statistics.median(found["spent"])


@pytest.mark.parametrize("name", NAMES)
def test_lesson_runs_its_widgets_move_and_its_exercises_answer(
    open_lesson, name, capsys, tmp_path
):
    lesson = open_lesson(name)
    lesson.run_all()
    for number, cell in enumerate(lesson.cells()):
        for output in cell["outputs"]:
            assert output["output_type"] != "error", (number, output)
            assert output.get("name") != "stderr", (number, output)
    times = {}
    for number, kind, view in views(lesson):
        picture(lesson.page, f"{name}_{number}")
        if view.locator(".widget-upload").count():
            upload(lesson.page, view, tmp_path)
            continue
        times[number] = kind, measured(view, kind)
        if kind == EXPLORER:
            move_all(view)
            to_the_ends(view)
    assert times, "no view in this lesson"
    assert lesson.errors == [] and lesson.outside == []
    exercises_go_from_not_attempted_through_wrong_to_right(lesson)
    compare(name, times, plain_redraw(lesson, max(times)), capsys)


def upload(page, view, folder):
    """A sound is heard; what is none is refused in words, without a picture."""
    spoken = view.locator("[role=status]")
    sound, text = folder / "mine.wav", folder / "mine.txt"
    one = speech.load("valid")[0]
    soundfile.write(sound, one.wave.numpy(), speech.SAMPLE_RATE)
    text.write_text("this is no sound")
    for path, words in ((sound, "mine.wav, "), (text, "No picture: ")):
        with page.expect_file_chooser() as chooser:
            view.locator(".widget-upload").click()
        chooser.value.set_files(path)
        wait_until(lambda: spoken.inner_text().startswith(words))
        assert spoken.inner_text().startswith(words)
    assert view.locator("img").count() == 0


def move_all(view):
    """Every control changes the picture, and the words follow it."""
    image = view.locator("img")
    handles = view.locator(".noUi-handle, select, input[type=checkbox]")
    assert handles.count() > 0
    moved = 0
    for which in range(handles.count()):
        before = image.get_attribute("alt")
        source = image.get_attribute("src")
        move(handles.nth(which))
        wait_until(
            lambda: (
                image.get_attribute("alt") != before
                or image.get_attribute("src") != source
            )
        )
        assert image.get_attribute("src") != source
        if image.get_attribute("alt") != before:
            moved += 1
            spoken = view.locator("[role=status]")
            wait_until(
                lambda: spoken.inner_text() == image.get_attribute("alt")
            )
            assert spoken.inner_text() == image.get_attribute("alt")
    assert moved > 0, "no control changes the picture's words"


def to_the_ends(view):
    """Each slider at both ends: a new picture, or the reason for none."""
    for handle in view.locator(".noUi-handle").all():
        for key in ("End", "Home"):
            was = handle.get_attribute("aria-valuenow")
            shown = view.inner_html()
            handle.press(key)
            if handle.get_attribute("aria-valuenow") == was:
                continue
            answer = view.locator("img, [role=status]:has-text('No picture')")
            wait_until(lambda: answer.count() and view.inner_html() != shown)
            assert answer.count(), "neither a picture nor a reason"


PLAIN = """\
import ipywidgets
import torch
from matplotlib import pyplot as plt

@ipywidgets.interact(level=ipywidgets.IntSlider(1, 0, 60))
def draw(level):
    plt.figure(figsize=(4, 2))
    plt.imshow(torch.rand(1, 2))
    plt.title(f"level {level}")
    plt.show()
"""
REDRAWN = """async (place, times) => {
  const spent = [];
  const source = () => place.querySelector('.widget-interact .jp-RenderedImage img')?.src;
  for (let i = 0; i < times; i++) {
    const before = source(), start = performance.now();
    place.querySelector('.noUi-handle').dispatchEvent(
      new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true}));
    while ((!source() || source() === before)
        && performance.now() - start < 30_000)
      await new Promise((done) => setTimeout(done, 0));
    await new Promise(requestAnimationFrame);
    spent.push(performance.now() - start);
  }
  return spent;
}"""


def plain_redraw(lesson, number):
    """Milliseconds that a small `interact` figure takes, in the same kernel."""
    for _ in range(3):  # a late answer of the lesson's view may take its place
        lesson.write_and_run(number, PLAIN)
        place = lesson.cell(number)
        image = place.locator(".widget-interact .jp-RenderedImage img")
        wait_until(image.is_visible, seconds=20)
        if image.is_visible():
            break
    assert image.is_visible(), "plain interact shows no picture"
    return statistics.median(place.evaluate(REDRAWN, TIMES))


def compare(name, times, plain, capsys):
    """Print and keep what the views took, beside the plain redraw."""
    rows = [
        {
            "lesson": name,
            "cell": number,
            "view": kind,
            "drawn in": "kernel" if VIEWS[kind][2] else "browser",
            "ms": round(spent),
            "plain interact, ms": round(plain),
            "ratio": round(spent / plain, 2),
        }
        for number, (kind, spent) in times.items()
    ]
    (PICTURES / f"latency_{name}.json").write_text(json.dumps(rows, indent=1))
    with capsys.disabled():
        for row in rows:
            print("\n" + ", ".join(f"{k} {v}" for k, v in row.items()), end="")
    for row in rows:  # no clock: both are of the same run
        assert row["drawn in"] == "kernel" or row["ratio"] < 1, row


def move(handle):
    """Move a slider by a key, a list to its next entry, or tick a box."""
    kind = handle.evaluate("element => element.tagName + '/' + element.type")
    if kind.startswith("SELECT"):
        handle.evaluate(
            """element => {
              const next = (element.selectedIndex + 1) % element.length;
              element.selectedIndex = next;
              element.dispatchEvent(new Event('change', {bubbles: true}));
            }"""
        )
    elif "checkbox" in kind:
        handle.click()
    else:
        full = handle.evaluate(
            "e => Number(e.getAttribute('aria-valuenow'))"
            " >= Number(e.getAttribute('aria-valuemax'))"
        )
        handle.press("ArrowLeft" if full else "ArrowRight")


def stubs(lesson):
    """Pairs of cells: an exercise's stub and its solution, where checked."""
    cells = lesson.cells()
    pairs = []
    for number, cell in enumerate(cells):
        call = re.search(r"^checks\.\w+\.\w+\(", cell["source"], re.M)
        if not call or "solution" in cell["tags"]:
            continue
        solution = next(
            c["source"]
            for c in cells[number + 1 :]
            if "solution" in c["tags"] and call.group() in c["source"]
        )
        pairs.append((number, cell["source"], solution))
    return pairs


def spoil(stub):
    """Turn a stub into an answer that is surely wrong."""
    function = re.search(r"def \w+\((\w+)", stub)
    if function:
        return re.sub(
            r"^    \.\.\.$",
            f"    return {function.group(1)}",
            stub,
            flags=re.M,
        )
    return stub.replace("...", "12345")


def exercises_go_from_not_attempted_through_wrong_to_right(lesson):
    pairs = stubs(lesson)
    assert len(pairs) >= 2
    for number, stub, solution in pairs:
        said = lesson.write_and_run(number, stub)
        assert said.startswith("not attempted"), (number, said)
        said = lesson.write_and_run(number, spoil(stub))
        assert said.startswith("wrong:"), (number, said)
        said = lesson.write_and_run(number, solution)
        assert "right:" in said, (number, said)
    picture(lesson.page, f"{lesson.name}_exercise")


def is_code(lesson, number):
    return lesson.page.evaluate(
        "n => window.jupyterapp.shell.currentWidget.content.widgets[n]"
        ".model.type === 'code'",
        number,
    )


# The plane of lesson 01 ----------------------------------------------------


def plane(lesson):
    number = next(
        n for n, c in enumerate(lesson.cells()) if "QueryPlane(" in c["source"]
    )
    view = lesson.cell(number).locator(".attn-dot-product")
    view.wait_for()
    return view


def shown(view):
    """The query and the output that the plane says."""
    text = view.locator(".attn-said").inner_text()
    query, output = (
        [float(x) for x in part.split(",")]
        for part in re.findall(r"\[([^\]]*)\]", text)
    )
    return query, output


def computed(query):
    output, _ = dot_product_attention(
        torch.tensor([query]),
        torch.tensor([[1.0, 1.0], [0.0, 1.0]]),
        torch.tensor([[1.0, 2.0], [3.0, 4.0]]),
    )
    return output[0].tolist()


def open_plane(open_lesson, **options):
    lesson = open_lesson("01_dot_product", **options)
    for number, cell in enumerate(lesson.cells()):
        if is_code(lesson, number):
            lesson.write_and_run(number, cell["source"])
        if "QueryPlane(" in cell["source"]:
            return lesson, plane(lesson)


def test_dragging_the_query_shows_what_the_function_computes(open_lesson):
    lesson, view = open_plane(open_lesson)
    box = view.locator(".attn-plane").bounding_box()
    mouse = lesson.page.mouse
    mouse.move(box["x"] + 180, box["y"] + 150)
    mouse.down()
    seen = []
    for x, y in ((20, 20), (150, 150), (280, 40), (-50, 400), (60, 110)):
        mouse.move(box["x"] + x, box["y"] + y)
        query, output = shown(view)
        seen.append(tuple(query))
        assert output == pytest.approx(computed(query), abs=1e-4)
        assert max(map(abs, query)) <= 2.5  # it stays in the plane
    mouse.up()
    assert len(set(seen)) == 5
    assert lesson.errors == []


def test_the_plane_by_keyboard_alone(open_lesson):
    lesson, view = open_plane(open_lesson)
    view.locator(".attn-query").focus()
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp", "ArrowDown", "ArrowDown"):
        lesson.page.keyboard.press(key)
    query, output = shown(view)
    assert query == pytest.approx([0.8, -0.1])
    assert output == pytest.approx(computed(query), abs=1e-4)
    handle = view.locator(".attn-query")
    assert handle.get_attribute("role") == "slider"
    assert handle.get_attribute("aria-valuetext") == "[0.8, -0.1]"


# The carts of lesson 16 -----------------------------------------------------

CARTS = """\
from attn_course.widgets import reinforcement_learning as views

made = [
    views.Film(asked, n, [0.01 * i for i in range(n)],
               [0.002 * i for i in range(n)], [i % 2 for i in range(n)])
    for asked, n in ((20.0, 30), (700.0, 90))
]
player = views.CartPlayer(made, alt="Two carts, made for a test.")
player
"""
# Keeps the kernel busy for a second: what a view sends now is echoed late.
BUSY = """
  const {commands, shell} = window.jupyterapp;
  const book = shell.currentWidget.content;
  book.activeCellIndex = number;
  book.activeCell.model.sharedModel.setSource('import time; time.sleep(1)');
  const done = commands.execute('notebook:run-cell');
"""


def test_the_cart_player_by_keyboard_alone(open_lesson):
    lesson = open_lesson("16_reinforcement_learning")
    number = next(n for n in range(99) if is_code(lesson, n))
    lesson.write_and_run(number, CARTS)
    view = lesson.cell(number).locator(".attn-carts")
    view.wait_for()
    said = view.locator(".attn-said")
    assert said.inner_text().startswith("Asked for 20, got 30. Step 0:")
    view.get_by_label("step", exact=True).press("ArrowRight")
    wait_until(lambda: "Step 1:" in said.inner_text())
    assert said.inner_text() == (
        "Asked for 20, got 30. Step 1: position 0.01, pole at 0.1 degrees, "
        "push right."
    )
    view.get_by_label("return asked for").press("ArrowRight")
    wait_until(lambda: "Asked for 700, got 90. Step 0:" in said.inner_text())
    view.locator("button").press("Enter")
    wait_until(lambda: "Step 89:" in said.inner_text())
    assert "Step 89: position 0.89" in said.inner_text()
    assert view.locator("button").inner_text() == "Play"
    picture(lesson.page, "carts")
    assert lesson.errors == []


# A step is chosen and Play pressed while the kernel is busy for a second: its
# echo of the step comes while the film plays.
PLAYED = (
    "async (number) => {"
    + BUSY
    + """
  const view = document.querySelector('.attn-carts');
  const [ask, step] = view.querySelectorAll('input');
  const put = (input, value) => {
    input.value = value;
    input.dispatchEvent(new Event('input', {bubbles: true}));
  };
  put(ask, 1);
  put(step, 3);
  view.querySelector('button').click();
  const steps = [];
  while (steps.length < 500 && steps.at(-1) !== 89) {
    await new Promise(requestAnimationFrame);
    steps.push(Number(step.value));
  }
  await done;
  return steps;
}"""
)


def test_the_film_does_not_jump_back_to_what_python_echoes(open_lesson):
    lesson = open_lesson("16_reinforcement_learning")
    first, second = [n for n in range(30) if is_code(lesson, n)][:2]
    lesson.write_and_run(first, CARTS)
    lesson.cell(first).locator(".attn-carts").wait_for()
    steps = lesson.page.evaluate(PLAYED, second)
    assert steps[0] == 3 and steps[-1] == 89
    assert steps == sorted(steps)
    # Python is told at the end, and what it chooses is shown.
    wait_until(
        lambda: (
            lesson.write_and_run(second, "player.number, player.step")
            == "(1, 89)"
        )
    )
    lesson.write_and_run(second, "player.step = 5")
    said = lesson.cell(first).locator(".attn-carts .attn-said")
    wait_until(lambda: "Step 5:" in said.inner_text())
    assert "Step 5:" in said.inner_text()
    assert lesson.errors == []


# Places: no network, dark theme, projector, Notebook 7 ---------------------


def test_nothing_is_asked_of_the_network(open_lesson):
    lesson, view = open_plane(open_lesson)
    assert lesson.outside == []
    assert lesson.page.get_by_text("Jupyter news").count() == 0


def contrast(view):
    """The contrast of the widget's text to what lies behind it."""
    return view.evaluate(
        """(element) => {
          const numbers = (c) => c.match(/[\\d.]+/g).map(Number);
          const light = (c) => {
            const [r, g, b] = numbers(c).slice(0, 3).map((x) => {
              x /= 255;
              return x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
            });
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          let behind = element;
          let back = 'rgba(0, 0, 0, 0)';
          while (behind && /, 0\\)$/.test(back)) {
            back = getComputedStyle(behind).backgroundColor;
            behind = behind.parentElement;
          }
          const pair = [light(getComputedStyle(element).color), light(back)];
          return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
        }"""
    )


def test_text_is_readable_in_both_themes(open_lesson, tmp_path_factory):
    lesson, view = open_plane(open_lesson)
    assert contrast(view.locator(".attn-said")) >= 4.5
    folder = tmp_path_factory.mktemp("dark")
    with browser.lab(folder, theme="JupyterLab Dark") as dark:
        lesson, view = open_plane(open_lesson, server=dark)
        theme = lesson.page.evaluate("document.body.dataset.jpThemeLight")
        assert theme == "false"
        assert contrast(view.locator(".attn-said")) >= 4.5
        picture(lesson.page, "dark_theme")


def test_the_plane_fits_a_projector(open_lesson):
    lesson, view = open_plane(
        open_lesson, viewport={"width": 1024, "height": 768}
    )
    box = view.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 1024
    inner = view.evaluate("e => [e.scrollWidth, e.clientWidth]")
    assert inner[0] <= inner[1] + 1
    picture(lesson.page, "projector")


def test_works_in_notebook_7(chrome, address):
    page = chrome.new_page()
    page.set_default_timeout(120_000)
    page.goto(f"{address}/notebooks/notebooks/01_dot_product.ipynb")
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    state = ".jp-Notebook-ExecutionIndicator[data-status={}]"
    # Before the kernel is there, Run All would be ignored.
    page.wait_for_selector(state.format("idle"), state="attached")
    page.click('.lm-MenuBar-itemLabel:text-is("Run")')
    page.click('.lm-Menu-item:has-text("Run All Cells") >> nth=0')
    page.wait_for_selector(state.format("busy"), state="attached")
    page.wait_for_selector(state.format("idle"), state="attached")
    view = page.locator(".attn-dot-product")
    page.mouse.move(640, 400)
    page.mouse.wheel(0, -100_000)  # cells out of sight are not on the page
    for _ in range(300):
        if view.count():
            break
        page.mouse.wheel(0, 200)
        time.sleep(0.2)
    view.locator(".attn-query").press("ArrowLeft")
    wait_until(lambda: shown(view)[0] != [1.0, 0.0])
    query, output = shown(view)
    assert query == pytest.approx([0.9, 0.0])
    assert output == pytest.approx(computed(query), abs=1e-4)
    page.close()


# The history of lesson 15 --------------------------------------------------


def test_a_history_is_changed_by_keyboard_alone(open_lesson):
    lesson = open_lesson("15_recommendation")
    lesson.run_all()
    number = next(
        n
        for n, cell in enumerate(lesson.cells())
        if "HistoryExplorer(" in cell["source"]
    )
    view = lesson.cell(number).locator(".attn-history")
    view.wait_for()
    said = view.locator("[role=status]")
    assert "It looks most at" in said.inner_text()
    # Person, item, what to do, by what.
    what = view.locator(".noUi-handle").nth(2)
    for sentence in (
        "After the change",  # taken out
        "After the change",  # replaced
        "1 back: 100 %",  # one item alone
        "nothing to look back at",  # none
    ):
        what.press("ArrowRight")
        wait_until(lambda: sentence in said.inner_text())
        assert sentence in said.inner_text()
        picture(lesson.page, "history")
    assert lesson.errors == []


# The attention viewer of lesson 14 ------------------------------------------

VIEWER = "14_interpreting_attention"
LARGE = """\
import torch
from attn_course.widgets import interpreting_attention as views

random = torch.Generator().manual_seed(0)
weights = (4 * torch.randn(12, 12, 128, 128, generator=random)).softmax(-1)
view = views.AttentionViewer(weights, [f"word{i}" for i in range(128)])
view
"""
# Milliseconds that each event takes in the page, and each frame after it.
DRAWN = """async ([selector, name, options, events]) => {
  const view = document.querySelector('.attn-viewer');
  const spent = [], frames = [];
  for (let i = 0; i < events; i++) {
    const all = view.querySelectorAll(selector);
    const one = all[(7 * i) % all.length];
    const event = name === 'keydown'
      ? new KeyboardEvent(name, {bubbles: true, ...options[i % 2]})
      : new PointerEvent(name, options[0]);
    const start = performance.now();
    one.dispatchEvent(event);
    spent.push(performance.now() - start);
    await new Promise(requestAnimationFrame);
    frames.push(performance.now() - start);
  }
  return [spent, frames];
}"""

# Down in the detail again and again, while the kernel is busy for a second: the
# first press waits there, its echo comes in the midst of the others, unsent.
PRESSED = (
    "async (number) => {"
    + BUSY
    + """
  const view = document.querySelector('.attn-viewer');
  const detail = view.querySelector('.attn-viewer-detail');
  const words = [];
  for (let pressed = 0; pressed < 40; pressed++) {
    detail.dispatchEvent(
      new KeyboardEvent('keydown', {bubbles: true, key: 'ArrowDown'}));
    await new Promise((after) => setTimeout(after, pressed === 0 ? 300 : 50));
    words.push(view.querySelector('.attn-said').textContent.split(/[“”]/)[1]);
  }
  await done;
  await new Promise((sent) => setTimeout(sent, 300));
  return words;
}"""
)


def open_viewer(open_lesson, **options):
    lesson = open_lesson(VIEWER, **options)
    number = next(
        n
        for n, c in enumerate(lesson.cells())
        if "views.AttentionViewer(" in c["source"]
    )
    lesson.write_and_run(number, LARGE)
    view = lesson.cell(number).locator(".attn-viewer")
    view.wait_for()
    return lesson, view


def test_the_viewer_of_12_layers_12_heads_128_words(open_lesson, capsys):
    lesson, view = open_viewer(open_lesson)
    words = view.locator(".attn-said")
    assert words.inner_text().startswith("Layer 0, head 0: “word0” looks")
    grid = view.locator(".attn-viewer-grid")
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft"):
        grid.press(key)
    assert words.inner_text().startswith("Layer 1, head 1: “word0”")
    grid.press("ArrowUp")
    grid.press("ArrowUp")  # there is none above
    grid.press("End")
    assert words.inner_text().startswith("Layer 0, head 11: “word0”")
    view.locator(".attn-viewer-word").nth(5).hover()
    assert "“word5” looks most at" in words.inner_text()
    view.locator(".attn-viewer-detail").press("ArrowDown")
    assert "“word6” looks most at" in words.inner_text()
    assert words.inner_text() in grid.get_attribute("aria-label")
    picker = view.locator("select")
    assert picker.nth(1).input_value() == "11"
    picker.nth(0).select_option("3")
    assert words.inner_text().startswith("Layer 3, head 11: “word6”")
    view.locator("summary").click()
    rows = view.locator(".attn-viewer-table tbody tr")
    assert rows.count() == 128
    first = rows.nth(0).inner_text().split()
    assert f"{first[1]} ({first[2]})" in words.inner_text()
    view.locator("summary").click()
    result = {}
    for what, arguments in {
        "hover a word": [".attn-viewer-word", "pointerenter", [{}], 60],
        "next head": [
            ".attn-viewer-grid",
            "keydown",
            [{"key": "ArrowLeft"}, {"key": "ArrowRight"}],
            20,
        ],
    }.items():
        spent, frames = lesson.page.evaluate(DRAWN, arguments)
        result[what] = {
            "drawing, median ms": round(statistics.median(spent), 1),
            "drawing, largest ms": round(max(spent), 1),
            "to the next frame, median ms": round(
                statistics.median(frames), 1
            ),
        }
    PICTURES.mkdir(parents=True, exist_ok=True)
    (PICTURES / "viewer.json").write_text(json.dumps(result, indent=1))
    with capsys.disabled():
        print("\nviewer, 12 x 12 x 128 x 128:", result)
    picture(lesson.page, "viewer_large")
    assert lesson.errors == [] and lesson.outside == []


def test_the_viewer_does_not_fall_back_to_what_python_echoes(open_lesson):
    lesson, view = open_viewer(open_lesson)
    cells = lesson.cells()
    sources = [cell["source"] for cell in cells]
    next_code = next(
        number
        for number in range(sources.index(LARGE) + 1, len(cells))
        if cells[number]["type"] == "code"
    )
    words = lesson.page.evaluate(PRESSED, next_code)
    assert words == [f"word{i}" for i in range(1, 41)]
    # Python is told at last, and what it chooses is shown.
    assert lesson.write_and_run(next_code, "view.query") == "40"
    lesson.write_and_run(next_code, "view.layer, view.query = 3, 7")
    said = view.locator(".attn-said")
    wait_until(lambda: "“word7”" in said.inner_text())
    assert said.inner_text().startswith("Layer 3, head 0: “word7”")
    assert lesson.errors == []


def test_the_viewer_is_readable_in_the_dark(open_lesson, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dark_viewer")
    with browser.lab(folder, theme="JupyterLab Dark") as dark:
        lesson, view = open_viewer(open_lesson, server=dark)
        assert contrast(view.locator(".attn-said")) >= 4.5
        assert contrast(view.locator(".attn-viewer-hint")) >= 4.5
        picture(lesson.page, "viewer_dark")
        reds = view.locator(".attn-viewer-grid").evaluate(
            "canvas => Array.from(canvas.getContext('2d').getImageData("
            "0, 0, 20, canvas.height).data.filter((_, i) => i % 4 === 0))"
        )
        assert max(reds) > 150  # the layers' numbers are light


# The lattice of lesson 12 ---------------------------------------------------


def test_who_hears_whom_by_click_and_by_keyboard(open_lesson):
    from attn_course.widgets import rnn_cnn_attention as views

    lesson = open_lesson("12_rnn_cnn_attention")
    for number, cell in enumerate(lesson.cells()):
        wanted = ("session.start(", "ReceptiveFieldLattice(")
        if is_code(lesson, number) and any(
            w in cell["source"] for w in wanted
        ):
            lesson.write_and_run(number, cell["source"])
        if "ReceptiveFieldLattice(" in cell["source"]:
            break
    view = lesson.cell(number).locator(".attn-reach")
    view.wait_for()
    said = view.locator("[role=status]")
    plot = view.locator("svg")
    rounds, kernel = view.locator("input").nth(0), view.locator("input").nth(1)
    assert said.inner_text() == views.say_heard("dilated CNN", 20, 3, 3)
    plot.press("ArrowLeft")
    assert said.inner_text() == views.say_heard("dilated CNN", 19, 3, 3)
    plot.press("End")
    rounds.press("ArrowLeft")
    kernel.press("ArrowLeft")
    for kind in ("GRU", "CNN", "dilated CNN", "attention"):
        view.locator("select").select_option(kind)
        assert said.inner_text() == views.say_heard(kind, 23, 2, 2)
    view.locator("rect").nth(5).click()
    assert said.inner_text() == views.say_heard("attention", 5, 2, 2)
    picture(lesson.page, "12_lattice")
    assert lesson.errors == []
