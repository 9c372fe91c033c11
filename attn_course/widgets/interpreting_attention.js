// The attention viewer of lesson 14: all heads as small pictures, one of them
// in detail, and the sentence, in which each word shows where it looks.
// The weights come as one byte each; everything is drawn here, on canvases.

const GAP = 3;
const LEFT = 26; // room for the layers' numbers
const TOP = 18; // room for the heads' numbers
const MARK = "#e69f00";
const NAMED = 3; // keys that the sentence names

const clamp = (x, low, high) => Math.max(low, Math.min(high, x));

// The largest weight of each block of cells, so that thin lines stay seen.
export function shrink(data, start, rows, columns, height, width) {
  const small = new Uint8Array(height * width);
  for (let i = 0; i < rows; i++) {
    const y = Math.floor((i * height) / rows) * width;
    const from = start + i * columns;
    for (let j = 0; j < columns; j++) {
      const pixel = y + Math.floor((j * width) / columns);
      if (data[from + j] > small[pixel]) small[pixel] = data[from + j];
    }
  }
  // Fewer cells than pixels: repeat them.
  if (rows < height || columns < width)
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const i = Math.floor((y * rows) / height);
        const j = Math.floor((x * columns) / width);
        const one = data[start + i * columns + j];
        if (one > small[y * width + x]) small[y * width + x] = one;
      }
  return small;
}

// The positions of the largest weights of one row, largest first.
export function topKeys(row, count) {
  return Array.from(row.keys())
    .sort((a, b) => row[b] - row[a] || a - b)
    .slice(0, count);
}

function paint(pixels, values, colors) {
  for (let i = 0; i < values.length; i++) {
    const color = 3 * values[i];
    pixels[4 * i] = colors[color];
    pixels[4 * i + 1] = colors[color + 1];
    pixels[4 * i + 2] = colors[color + 2];
    pixels[4 * i + 3] = 255;
  }
}

function bytes(view) {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

function picker(parent, name, entries) {
  const label = element("label", {}, parent, `${name} `);
  const select = element("select", {}, label);
  entries.forEach((text, i) => element("option", { value: i }, select, text));
  return select;
}

function render({ model, el }) {
  el.classList.add("attn-viewer");
  // Else Jupyter takes the arrow keys for its own shortcuts.
  el.setAttribute("data-lm-suppress-shortcuts", "true");
  const [layers, heads, rows, columns] = model.get("shape");
  const queries = model.get("query_words");
  const keys = model.get("key_words");
  const own = model.get("own"); // the keys are the queries
  const colors = bytes(model.get("colors"));
  const data = bytes(model.get("data"));
  const numbers = (n) => Array.from({ length: n }, (_, i) => String(i));

  // Controls that every screen reader knows.
  const bar = element("div", { class: "attn-viewer-bar" }, el);
  const pick = {
    layer: picker(bar, "layer", numbers(layers)),
    head: picker(bar, "head", numbers(heads)),
    query: picker(bar, "word", queries.map((word, i) => `${i}: ${word}`)),
  };
  element(
    "span",
    { class: "attn-viewer-hint" },
    bar,
    "click a picture, or use the arrow keys on it; hover over a word",
  );
  const middle = element("div", { class: "attn-viewer-middle" }, el);
  const size = clamp(Math.floor(440 / heads) - GAP, 12, 72);
  const step = size + GAP;
  const grid = element(
    "canvas",
    {
      class: "attn-viewer-grid",
      tabindex: 0,
      role: "application",
      "aria-roledescription": "heads",
      width: LEFT + heads * step,
      height: TOP + layers * step,
    },
    element("div", { class: "attn-viewer-scroll" }, middle),
  );
  const cell = clamp(Math.floor(400 / Math.max(rows, columns)), 2, 40);
  const detailBox = element("figure", {}, middle);
  const heading = element("figcaption", {}, detailBox);
  const detail = element(
    "canvas",
    {
      class: "attn-viewer-detail",
      tabindex: 0,
      role: "application",
      "aria-roledescription": "weights, queries on rows, keys on columns",
      width: columns * cell,
      height: rows * cell,
    },
    detailBox,
  );
  const scale = element("div", { class: "attn-viewer-scale" }, detailBox);
  element("span", {}, scale, "weight 0");
  const ramp = element("canvas", { width: 128, height: 10 }, scale);
  element("span", {}, scale, "1");
  const said = element("p", { role: "status", class: "attn-said" }, el);
  const flows = element("div", {}, el);
  const querySpans = own ? null : flow("queries, which ask", queries);
  const keySpans = flow(own ? "the words" : "keys, which are looked at", keys);
  const more = element("details", {}, el);
  element("summary", {}, more, "This word's weights as a table");
  const tableBox = element("div", { class: "attn-viewer-table" }, more);

  function flow(name, words) {
    const line = element(
      "div",
      { class: "attn-viewer-words", role: "group", "aria-label": name },
      flows,
    );
    return words.map((word) =>
      element("span", { class: "attn-viewer-word" }, line, word),
    );
  }

  // The small pictures are drawn once.
  const all = document.createElement("canvas");
  all.width = heads * step;
  all.height = layers * step;
  const allContext = all.getContext("2d");
  for (let l = 0; l < layers; l++)
    for (let h = 0; h < heads; h++) {
      const start = (l * heads + h) * rows * columns;
      const image = new ImageData(size, size);
      const small = shrink(data, start, rows, columns, size, size);
      paint(image.data, small, colors);
      allContext.putImageData(image, h * step, l * step);
    }
  const one = document.createElement("canvas");
  one.width = columns;
  one.height = rows;
  const oneImage = new ImageData(columns, rows);
  const line = new ImageData(128, 10);
  paint(line.data, Array.from({ length: 1280 }, (_, i) => 2 * (i % 128)),
    colors);
  ramp.getContext("2d").putImageData(line, 0, 0);

  const names = ["layer", "head", "query"];
  const now = { layer: -1, head: -1, query: -1 }; // what is drawn
  let unsent = {}; // what was chosen here and Python has not been told yet
  const chosen = () =>
    Object.fromEntries(
      names.map((name) => [name, unsent[name] ?? model.get(name)]),
    );

  function drawGrid() {
    const context = grid.getContext("2d");
    context.clearRect(0, 0, grid.width, grid.height);
    context.fillStyle = getComputedStyle(el).color;
    context.font = "11px sans-serif";
    context.textAlign = "center";
    const every = Math.ceil(16 / step);
    for (let h = 0; h < heads; h += every)
      context.fillText(h, LEFT + h * step + size / 2, TOP - 6);
    context.textAlign = "right";
    for (let l = 0; l < layers; l += every)
      context.fillText(l, LEFT - 6, TOP + l * step + size / 2 + 4);
    context.drawImage(all, LEFT, TOP);
    context.lineWidth = 3;
    context.strokeStyle = MARK;
    context.strokeRect(
      LEFT + now.head * step - 1.5,
      TOP + now.layer * step - 1.5,
      size + 3,
      size + 3,
    );
  }

  function drawDetail() {
    const context = detail.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(one, 0, 0, detail.width, detail.height);
    context.lineWidth = 2;
    context.strokeStyle = MARK;
    context.strokeRect(1, now.query * cell, detail.width - 2, cell);
  }

  function drawWords(row) {
    keySpans.forEach((span, j) => {
      const weight = row[j] / 255;
      span.style.backgroundColor = `rgba(230, 159, 0, ${weight.toFixed(3)})`;
      span.style.borderBottomWidth = `${(6 * weight).toFixed(1)}px`;
      span.style.color = weight > 0.6 ? "#000" : "";
    });
    (querySpans || keySpans).forEach((span, i) =>
      span.classList.toggle("attn-viewer-asks", i === now.query),
    );
  }

  function drawTable(row) {
    if (!more.open) return; // filled when it is opened
    tableBox.textContent = "";
    const table = element("table", {}, tableBox);
    const top = element("tr", {}, element("thead", {}, table));
    element("th", { scope: "col" }, top, "key");
    element("th", { scope: "col" }, top, "weight");
    const body = element("tbody", {}, table);
    for (const j of topKeys(row, columns)) {
      const line = element("tr", {}, body);
      element("th", { scope: "row" }, line, `${j}: ${keys[j]}`);
      element("td", {}, line, (row[j] / 255).toFixed(2));
    }
  }

  const rowNow = () => {
    const start =
      ((now.layer * heads + now.head) * rows + now.query) * columns;
    return data.subarray(start, start + columns);
  };

  function redraw() {
    const next = chosen();
    const moved = next.layer !== now.layer || next.head !== now.head;
    if (!moved && next.query === now.query) return;
    Object.assign(now, next);
    if (moved) {
      const start = (now.layer * heads + now.head) * rows * columns;
      paint(oneImage.data, data.subarray(start, start + rows * columns),
        colors);
      one.getContext("2d").putImageData(oneImage, 0, 0);
      drawGrid();
      heading.textContent = `layer ${now.layer}, head ${now.head}`;
    }
    drawDetail();
    const row = rowNow();
    drawWords(row);
    drawTable(row);
    for (const [name, select] of Object.entries(pick))
      select.value = String(now[name]);
    const named = topKeys(row, Math.min(NAMED, columns)).map(
      (j) => `${keys[j]} (${(row[j] / 255).toFixed(2)})`,
    );
    said.textContent =
      `Layer ${now.layer}, head ${now.head}: “${queries[now.query]}” ` +
      `looks most at ${named.join(", ")}.`;
    grid.setAttribute(
      "aria-label",
      `${layers} layers of ${heads} heads; arrows choose. ` +
        said.textContent,
    );
    detail.setAttribute(
      "aria-label",
      `weights of one head; up and down choose the word. ${said.textContent}`,
    );
  }

  function put(values) {
    const sizes = { layer: layers, head: heads, query: rows };
    for (const [name, value] of Object.entries(values))
      unsent[name] = clamp(value, 0, sizes[name] - 1);
    redraw();
    clearTimeout(timer);
    timer = setTimeout(send, 150);
  }

  // Python hears of it a moment after the last move, not at every step. Until
  // then the model is left alone: Python repeats what it was told last, and
  // the model would take that echo for newer than an unsent choice.
  let timer = null;
  function send() {
    clearTimeout(timer);
    if (Object.keys(unsent).length === 0) return;
    for (const [name, value] of Object.entries(unsent)) model.set(name, value);
    unsent = {};
    model.save_changes();
  }

  function headAt(event) {
    const box = grid.getBoundingClientRect();
    const x = ((event.clientX - box.left) * grid.width) / box.width - LEFT;
    const y = ((event.clientY - box.top) * grid.height) / box.height - TOP;
    return { head: Math.floor(x / step), layer: Math.floor(y / step) };
  }

  grid.addEventListener("click", (event) => put(headAt(event)));
  grid.addEventListener("pointermove", (event) => {
    if (event.buttons) put(headAt(event)); // drag over the heads
  });
  detail.addEventListener("pointermove", (event) => {
    const box = detail.getBoundingClientRect();
    put({
      query: Math.floor(((event.clientY - box.top) * rows) / box.height),
    });
  });
  // A key may scroll the page under a resting mouse. The word that then lies
  // under it was not pointed at, so it does not override the key.
  let keyedAt = -Infinity;
  (querySpans || keySpans).forEach((span, i) => {
    span.addEventListener("pointerenter", () => {
      if (performance.now() - keyedAt > 300) put({ query: i });
    });
    span.addEventListener("pointermove", () => put({ query: i }));
  });
  const headKeys = {
    ArrowLeft: () => ({ head: now.head - 1 }),
    ArrowRight: () => ({ head: now.head + 1 }),
    ArrowUp: () => ({ layer: now.layer - 1 }),
    ArrowDown: () => ({ layer: now.layer + 1 }),
    Home: () => ({ head: 0 }),
    End: () => ({ head: heads - 1 }),
  };
  const wordKeys = {
    ArrowLeft: () => ({ query: now.query - 1 }),
    ArrowRight: () => ({ query: now.query + 1 }),
    ArrowUp: () => ({ query: now.query - 1 }),
    ArrowDown: () => ({ query: now.query + 1 }),
    Home: () => ({ query: 0 }),
    End: () => ({ query: rows - 1 }),
  };
  for (const [canvas, moves] of [[grid, headKeys], [detail, wordKeys]])
    canvas.addEventListener("keydown", (event) => {
      if (!moves[event.key]) return;
      keyedAt = performance.now();
      put(moves[event.key]());
      event.preventDefault();
      event.stopPropagation();
    });
  for (const [name, select] of Object.entries(pick))
    select.addEventListener("change", () =>
      put({ [name]: Number(select.value) }),
    );
  bar.addEventListener("keydown", (event) => event.stopPropagation());
  more.addEventListener("toggle", () => drawTable(rowNow()));
  for (const name of names) model.on(`change:${name}`, redraw);
  redraw();
  // The numbers on the canvas take the theme's colour, which is known only
  // when the view stands on the page, and may change later.
  const placed = new ResizeObserver(drawGrid);
  placed.observe(el);
  const themes = new MutationObserver(drawGrid);
  themes.observe(document.body, { attributes: true });
  return () => {
    send();
    placed.disconnect();
    themes.disconnect();
    for (const name of names) model.off(`change:${name}`, redraw);
  };
}

export default { render };
