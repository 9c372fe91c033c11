// The lattice of lesson 12: click a position, see what it can have heard.
// As attn_course.widgets.rnn_cnn_attention: pathLength, heard, asked, trail.

const KINDS = ["GRU", "CNN", "dilated CNN", "attention"];
const STEP = 29; // pixels between positions
const LEFT = 78;
const TALL = 34; // between rows

export function pathLength(kind, distance, kernel) {
  if (kind === "GRU") return distance + 1;
  if (kind === "attention") return 1;
  if (kind === "CNN") return Math.max(1, Math.ceil(distance / (kernel - 1)));
  let layers = 1;
  while (kernel ** layers <= distance) layers += 1;
  return layers;
}

export function heard(kind, position, rounds, kernel) {
  const seen = [];
  for (let j = 0; j <= position; j++)
    if (pathLength(kind, position - j, kernel) <= rounds) seen.push(j);
  return seen;
}

export function asked(kind, i, depth, kernel, back) {
  if (kind === "attention") return Array.from({ length: i + 1 }, (_, j) => j);
  if (kind === "GRU")
    return back === 0 ? [i] : [i - 1, i].filter((j) => j >= 0);
  const step = kind === "dilated CNN" ? kernel ** depth : 1;
  const positions = [];
  for (let j = 0; j < kernel; j++)
    if (i - j * step >= 0) positions.push(i - j * step);
  return positions;
}

function say(kind, position, rounds, kernel) {
  const seen = heard(kind, position, rounds, kernel);
  const what = kind === "GRU" ? "cell step" : "layer";
  const missing = position + 1 - seen.length;
  const left = missing
    ? `${missing} before them still unheard`
    : "all that stand before it";
  return (
    `${kind}: after ${rounds} ${what}${rounds > 1 ? "s" : ""} position ${position} ` +
    `hears ${seen.length} of ${position + 1} positions ` +
    `(${seen[0]} to ${seen[seen.length - 1]}): ${left}.`
  );
}

function render({ model, el }) {
  el.classList.add("attn-reach");
  // Else Jupyter takes the arrow keys for its own shortcuts.
  el.setAttribute("data-lm-suppress-shortcuts", "true");
  const bar = element("div", { class: "attn-controls" }, el);
  const kind = element("select", {}, element("label", {}, bar, "Kind: "));
  for (const name of KINDS) element("option", { value: name }, kind, name);
  const number = (name, min, max) => {
    const label = element("label", {}, bar, `${name}: `);
    const input = element(
      "input",
      { type: "range", min, max, step: 1, "aria-label": name },
      label,
    );
    const shown = element("span", {}, label);
    input.addEventListener("input", () => put(name, Number(input.value)));
    return { input, shown };
  };
  const rounds = number("rounds", 1, 12);
  const kernel = number("kernel", 2, 5);
  const n = model.get("positions");
  const plot = node(
    "svg",
    {
      tabindex: 0,
      role: "slider",
      "aria-label": "position that asks: arrows left and right",
      "aria-valuemin": 0,
      "aria-valuemax": n - 1,
    },
    el,
  );
  const said = element("p", { role: "status", class: "attn-said" }, el);

  function put(name, value) {
    model.set(name, value);
    redraw();
  }

  function redraw() {
    const [k, position, many, wide] = ["kind", "position", "rounds", "kernel"].map(
      (name) => model.get(name),
    );
    kind.value = k;
    rounds.input.value = many;
    rounds.shown.textContent = ` ${many}`;
    kernel.input.value = wide;
    kernel.shown.textContent = ` ${wide}`;
    kernel.input.disabled = k === "GRU" || k === "attention";
    plot.replaceChildren();
    plot.setAttribute(
      "viewBox",
      `0 0 ${LEFT + n * STEP} ${(many + 1) * TALL + 22}`,
    );
    const x = (j) => LEFT + j * STEP + STEP / 2;
    let row = new Set([position]);
    const dots = [];
    for (let back = 0; back <= many; back++) {
      const y = back * TALL + 14;
      const what = k === "GRU" ? "cell step" : "layer";
      const name = back === many ? "inputs" : `${what} ${many - back}`;
      node("text", { x: 2, y: y + 4 }, plot, name);
      for (let j = 0; j < n; j++) dots.push([j, y, row.has(j), back]);
      if (back === many) break;
      const below = new Set();
      for (const i of row)
        for (const j of asked(k, i, many - 1 - back, wide, back)) {
          below.add(j);
          node("line", { x1: x(i), y1: y, x2: x(j), y2: y + TALL }, plot);
        }
      row = below;
    }
    for (const [j, y, on, back] of dots) {
      const shape = !on
        ? "attn-off"
        : back === 0
          ? "attn-asker"
          : "attn-on";
      const dot = node(
        "circle",
        { cx: x(j), cy: y, r: on ? 7 : 3, class: shape },
        plot,
      );
      const area = node(
        "rect",
        {
          x: x(j) - STEP / 2,
          y: y - TALL / 2,
          width: STEP,
          height: TALL,
          fill: "transparent",
        },
        plot,
      );
      area.addEventListener("click", () => put("position", j));
      void dot;
    }
    for (let j = 0; j < n; j++)
      node(
        "text",
        { x: x(j), y: (many + 1) * TALL + 10, "text-anchor": "middle" },
        plot,
        String(j),
      );
    const sentence = say(k, position, many, wide);
    said.textContent = sentence;
    plot.setAttribute("aria-valuenow", position);
    plot.setAttribute("aria-valuetext", sentence);
    model.set("result", heard(k, position, many, wide));
    model.save_changes();
  }

  plot.addEventListener("keydown", (event) => {
    const position = model.get("position");
    const to = {
      ArrowLeft: position - 1,
      ArrowDown: position - 1,
      ArrowRight: position + 1,
      ArrowUp: position + 1,
      Home: 0,
      End: n - 1,
    }[event.key];
    if (to === undefined) return;
    put("position", Math.max(0, Math.min(n - 1, to)));
    event.preventDefault();
    event.stopPropagation();
  });
  kind.addEventListener("change", () => put("kind", kind.value));
  bar.addEventListener("keydown", (event) => event.stopPropagation());
  const names = ["kind", "position", "rounds", "kernel"];
  for (const name of names) model.on(`change:${name}`, redraw);
  redraw();
  return () => {
    for (const name of names) model.off(`change:${name}`, redraw);
  };
}

export default { render };
