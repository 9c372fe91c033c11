// The mask painter of lesson 02: click a cell to forbid or allow it.
// Weights are computed here, so that they follow at once; the same numbers
// are sent to Python as `result`.

const MODES = [
  ["before", "−inf before the softmax, empty rows 0 (this course)"],
  ["plain", "−inf before the softmax, nothing else"],
  ["after", "weights times 0 after the softmax"],
];
// Seven stops of matplotlib's viridis, the map of every figure of weights.
const VIRIDIS = [
  [68, 1, 84],
  [68, 57, 131],
  [49, 104, 142],
  [33, 145, 140],
  [53, 183, 121],
  [144, 215, 67],
  [253, 231, 37],
];

// Weights of one row: as attn_course.widgets.scaled_dot_product.paint.
export function paintRow(scores, allowed, mode) {
  const used = mode === "after" ? scores.map(() => true) : allowed;
  if (!used.some(Boolean))
    return scores.map(() => (mode === "plain" ? NaN : 0));
  const most = Math.max(...scores.filter((_, j) => used[j]));
  const powers = scores.map((s, j) => (used[j] ? Math.exp(s - most) : 0));
  const total = powers.reduce((a, b) => a + b, 0);
  return powers.map((p, j) => (allowed[j] ? p / total : 0));
}

function color(weight) {
  const place = Math.min(1, Math.max(0, weight)) * (VIRIDIS.length - 1);
  const low = Math.min(VIRIDIS.length - 2, Math.floor(place));
  const mixed = VIRIDIS[low].map((c, i) =>
    Math.round(c + (place - low) * (VIRIDIS[low + 1][i] - c)),
  );
  return `rgb(${mixed.join(",")})`;
}

const show = (x) => (Number.isNaN(x) ? "NaN" : x.toFixed(2));
const toJson = (x) => (Number.isNaN(x) ? null : x);

function drawGrid(box, words) {
  const table = element(
    "table",
    {
      class: "attn-mask",
      role: "grid",
      "aria-label": "mask and weights, queries on rows, keys on columns",
    },
    box,
  );
  const top = element("tr", { role: "row" }, element("thead", {}, table));
  element("th", { scope: "col" }, top, "query \\ key");
  for (const word of words) element("th", { scope: "col" }, top, word);
  element("th", { scope: "col" }, top, "sum");
  const body = element("tbody", {}, table);
  return words.map((word, i) => {
    const row = element("tr", { role: "row" }, body);
    element("th", { scope: "row" }, row, word);
    const cells = words.map((_, j) =>
      element(
        "td",
        { role: "gridcell", tabindex: i + j ? -1 : 0, class: "attn-cell" },
        row,
      ),
    );
    return { cells, sum: element("td", { class: "attn-sum" }, row) };
  });
}

function presets(n) {
  const square = (fn) =>
    Array.from({ length: n }, (_, i) =>
      Array.from({ length: n }, (_, j) => fn(i, j)),
    );
  return [
    ["allow all", square(() => true)],
    ["causal", square((i, j) => j <= i)],
    ["padding: hide the last key", square((i, j) => j < n - 1)],
    ["empty the first row", square((i) => i > 0)],
  ];
}

function render({ model, el }) {
  el.classList.add("attn-scaled");
  const words = model.get("words");
  const scores = model.get("scores");
  const n = words.length;
  const bar = element("div", { class: "attn-bar-row" }, el);
  for (const [name, mask] of presets(n)) {
    const button = element("button", { type: "button" }, bar, name);
    button.addEventListener("click", () => put(mask));
  }
  const label = element("label", {}, el, "How: ");
  const mode = element("select", {}, label);
  for (const [value, text] of MODES) element("option", { value }, mode, text);
  const rows = drawGrid(el, words);
  // Else Jupyter takes the arrow keys for its own shortcuts.
  el.setAttribute("data-lm-suppress-shortcuts", "true");
  const said = element("p", { role: "status", class: "attn-said" }, el);
  let painting = null; // true or false while the pointer is down
  let focus = [0, 0];

  function redraw() {
    const mask = model.get("mask");
    mode.value = model.get("mode");
    const weights = scores.map((row, i) =>
      paintRow(row, mask[i], mode.value),
    );
    const sums = weights.map((row) => row.reduce((a, b) => a + b, 0));
    rows.forEach(({ cells, sum }, i) => {
      cells.forEach((cell, j) => {
        const weight = weights[i][j];
        cell.textContent = mask[i][j] || weight !== 0 ? show(weight) : "×";
        cell.style.backgroundColor = color(weight || 0);
        cell.style.color = weight > 0.6 ? "#000" : "#fff";
        cell.classList.toggle("attn-forbidden", !mask[i][j]);
        cell.setAttribute("aria-selected", String(mask[i][j]));
        cell.setAttribute(
          "aria-label",
          `query ${words[i]}, key ${words[j]}: ` +
            `${mask[i][j] ? "allowed" : "forbidden"}, weight ${show(weight)}`,
        );
      });
      sum.textContent = show(sums[i]);
      sum.classList.toggle("attn-odd", !(Math.abs(sums[i] - 1) < 1e-9));
    });
    const odd = sums.filter((s) => !(Math.abs(s - 1) < 1e-9)).length;
    const forbidden = mask.flat().filter((m) => !m).length;
    said.textContent =
      `${forbidden} of ${n * n} cells forbidden; ` +
      (odd ? `${odd} of ${n} rows do not sum to 1.` : "every row sums to 1.");
    model.set("result", {
      weights: weights.map((row) => row.map(toJson)),
      sums: sums.map(toJson),
    });
    model.save_changes();
  }

  function put(mask) {
    model.set("mask", mask);
    redraw();
  }

  function set(i, j, allowed) {
    const mask = model.get("mask").map((row) => [...row]);
    if (mask[i][j] === allowed) return;
    mask[i][j] = allowed;
    put(mask);
  }

  function goTo(i, j) {
    rows[focus[0]].cells[focus[1]].tabIndex = -1;
    focus = [i, j];
    rows[i].cells[j].tabIndex = 0;
    rows[i].cells[j].focus();
  }

  rows.forEach(({ cells }, i) =>
    cells.forEach((cell, j) => {
      cell.addEventListener("pointerdown", (event) => {
        event.preventDefault();
        if (cell.hasPointerCapture?.(event.pointerId))
          cell.releasePointerCapture(event.pointerId); // touch: paint on
        painting = !model.get("mask")[i][j];
        goTo(i, j);
        set(i, j, painting);
      });
      cell.addEventListener("pointerenter", () => {
        if (painting !== null) set(i, j, painting);
      });
      cell.addEventListener("keydown", (event) => {
        const steps = {
          ArrowLeft: [0, -1],
          ArrowRight: [0, 1],
          ArrowUp: [-1, 0],
          ArrowDown: [1, 0],
        }[event.key];
        const inside = (x) => Math.max(0, Math.min(n - 1, x));
        if (steps) goTo(inside(i + steps[0]), inside(j + steps[1]));
        else if (event.key === " " || event.key === "Enter")
          set(i, j, !model.get("mask")[i][j]);
        else return;
        event.preventDefault();
        event.stopPropagation();
      });
    }),
  );
  const stop = () => (painting = null);
  window.addEventListener("pointerup", stop);
  window.addEventListener("pointercancel", stop);
  mode.addEventListener("change", () => {
    model.set("mode", mode.value);
    redraw();
  });
  for (const part of [mode, bar])
    part.addEventListener("keydown", (event) => event.stopPropagation());
  model.on("change:mask", redraw);
  model.on("change:mode", redraw);
  redraw();
  return () => {
    window.removeEventListener("pointerup", stop);
    window.removeEventListener("pointercancel", stop);
    model.off("change:mask", redraw);
    model.off("change:mode", redraw);
  };
}

export default { render };
