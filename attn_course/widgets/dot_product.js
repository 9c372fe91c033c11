// The plane of lesson 01: drag the query, watch scores, weights and output.
// Everything is computed here, so that it follows the pointer at once; the
// same numbers are sent to Python as `result`.

const SIZE = 300; // pixels of the square plane
const REACH = 2.5; // the plane shows -REACH to REACH
const COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"];
const STEP = 0.1; // of the arrow keys

const toPixel = ([x, y]) => [
  ((x + REACH) / (2 * REACH)) * SIZE,
  ((REACH - y) / (2 * REACH)) * SIZE,
];
const clamp = (x) => Math.max(-REACH, Math.min(REACH, x));
const show = (x) => (Math.abs(x) < 5e-5 ? 0 : x).toFixed(4);

export function attend(query, keys, values) {
  const scores = keys.map((k) => k[0] * query[0] + k[1] * query[1]);
  const most = Math.max(...scores);
  const powers = scores.map((s) => Math.exp(s - most));
  const total = powers.reduce((a, b) => a + b, 0);
  const weights = powers.map((p) => p / total);
  const output = values[0].map((_, c) =>
    weights.reduce((sum, w, j) => sum + w * values[j][c], 0),
  );
  return { scores, weights, output };
}

function drawPlane(box, keys) {
  const plane = node(
    "svg",
    { width: SIZE, height: SIZE, class: "attn-plane" },
    box,
  );
  const [cx, cy] = toPixel([0, 0]);
  for (const [x1, y1, x2, y2] of [
    [0, cy, SIZE, cy],
    [cx, 0, cx, SIZE],
  ])
    node("line", { x1, y1, x2, y2, class: "attn-axis" }, plane);
  keys.forEach((key, j) => {
    const [x, y] = toPixel(key);
    const color = COLORS[j % COLORS.length];
    node(
      "line",
      { x1: cx, y1: cy, x2: x, y2: y, stroke: color, "stroke-width": 3 },
      plane,
    );
    node("circle", { cx: x, cy: y, r: 5, fill: color }, plane);
    node("text", { x: x + 8, y: y - 6, fill: color }, plane, `key ${j + 1}`);
  });
  const arrow = node(
    "line",
    { x1: cx, y1: cy, class: "attn-query-line", "stroke-width": 3 },
    plane,
  );
  const handle = node(
    "circle",
    {
      r: 9,
      class: "attn-query",
      tabindex: 0,
      role: "slider",
      "aria-label": "query: drag it, or press the arrow keys",
      "data-lm-suppress-shortcuts": "true", // else Jupyter takes the arrows
    },
    plane,
  );
  const name = node("text", { class: "attn-query-name" }, plane, "query");
  return { plane, arrow, handle, name };
}

function drawTable(box, keys) {
  const table = element("table", { class: "attn-table" }, box);
  const head = element("tr", {}, element("thead", {}, table));
  for (const word of ["key", "value", "score", "weight", ""])
    element("th", { scope: "col" }, head, word);
  const body = element("tbody", {}, table);
  const rows = keys.map((_, j) => {
    const row = element("tr", {}, body);
    const cells = ["key", "value", "score", "weight"].map(() =>
      element("td", {}, row),
    );
    const track = element("div", { class: "attn-track" }, element("td", {}, row));
    const bar = element("div", { class: "attn-bar" }, track);
    bar.style.background = COLORS[j % COLORS.length];
    return { cells, bar };
  });
  return rows;
}

function render({ model, el }) {
  el.classList.add("attn-dot-product");
  const box = element("div", { class: "attn-row" }, el);
  const keys = model.get("key");
  const values = model.get("value");
  const { plane, arrow, handle, name } = drawPlane(box, keys);
  const side = element("div", {}, box);
  const rows = drawTable(side, keys);
  const said = element("p", { role: "status", class: "attn-said" }, side);

  function redraw() {
    const query = model.get("query");
    const result = attend(query, keys, values);
    const [x, y] = toPixel(query.map(clamp));
    arrow.setAttribute("x2", x);
    arrow.setAttribute("y2", y);
    handle.setAttribute("cx", x);
    handle.setAttribute("cy", y);
    name.setAttribute("x", Math.min(x + 12, SIZE - 40));
    name.setAttribute("y", y + 18 > SIZE ? y - 12 : y + 18);
    const spoken = `[${query.map((q) => q.toFixed(1)).join(", ")}]`;
    handle.setAttribute("aria-valuetext", spoken);
    rows.forEach(({ cells, bar }, j) => {
      cells[0].textContent = `[${keys[j].join(", ")}]`;
      cells[1].textContent = `[${values[j].join(", ")}]`;
      cells[2].textContent = show(result.scores[j]);
      cells[3].textContent = show(result.weights[j]);
      bar.style.width = `${100 * result.weights[j]}%`;
    });
    said.textContent =
      `query ${spoken} gives output ` +
      `[${result.output.map(show).join(", ")}]`;
    model.set("result", result);
    model.save_changes();
  }

  function move(query) {
    model.set(
      "query",
      query.map((q) => clamp(Math.round(q / STEP) * STEP)),
    );
    redraw();
  }

  function point(event) {
    const seen = plane.getBoundingClientRect();
    move([
      ((event.clientX - seen.left) / seen.width) * 2 * REACH - REACH,
      REACH - ((event.clientY - seen.top) / seen.height) * 2 * REACH,
    ]);
  }

  plane.addEventListener("pointerdown", (event) => {
    plane.setPointerCapture(event.pointerId);
    handle.focus();
    point(event);
    event.preventDefault();
  });
  plane.addEventListener("pointermove", (event) => {
    if (plane.hasPointerCapture(event.pointerId)) point(event);
  });
  handle.addEventListener("keydown", (event) => {
    const steps = {
      ArrowLeft: [-STEP, 0],
      ArrowRight: [STEP, 0],
      ArrowUp: [0, STEP],
      ArrowDown: [0, -STEP],
    }[event.key];
    if (!steps) return;
    const query = model.get("query");
    move([query[0] + steps[0], query[1] + steps[1]]);
    event.preventDefault();
    event.stopPropagation();
  });
  model.on("change:query", redraw);
  redraw();
}

export default { render };
