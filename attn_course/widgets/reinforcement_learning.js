// The cart player of lesson 16: choose the return that was asked for, then
// play the episode or scrub through it. Everything is drawn here, from positions
// and angles that Python sent.

const EDGE = 2.4; // metres, as in attn_course.widgets.reinforcement_learning
const POLE = 1.0;
const SCALE = 120; // points per metre
const MIDDLE = 360;
const FLOOR = 190;

// Where the pole's upper end is, in points: as pole_top in Python.
export function poleTop(position, angle) {
  return [
    MIDDLE + SCALE * (position + POLE * Math.sin(angle)),
    FLOOR - SCALE * POLE * Math.cos(angle),
  ];
}

// As `sentence` in Python.
export function sentence(film, step) {
  const degrees = (film.angles[step] * 180) / Math.PI;
  const push = ["left", "right"][film.actions[step]];
  return (
    `Asked for ${film.target}, got ${film.got}. Step ${step}: position ` +
    `${film.positions[step].toFixed(2)}, pole at ${degrees.toFixed(1)} degrees, ` +
    `push ${push}.`
  );
}

function slider(name, most, box) {
  const label = element("label", {}, box, name);
  const input = element(
    "input",
    { type: "range", min: 0, max: most, step: 1, "aria-label": name },
    label,
  );
  return { input, shown: element("output", {}, label) };
}

function render({ model, el }) {
  el.classList.add("attn-carts");
  // Else Jupyter takes the arrow keys for its own shortcuts.
  el.setAttribute("data-lm-suppress-shortcuts", "true");
  const films = model.get("films").map((f) =>
    Array.isArray(f)
      ? Object.fromEntries(
          ["target", "got", "positions", "angles", "actions"].map((k, i) => [k, f[i]]),
        )
      : f,
  );
  const svg = node(
    "svg",
    { viewBox: "0 0 720 290", role: "img", "aria-label": "cart and pole" },
    el,
  );
  const left = MIDDLE - SCALE * EDGE;
  const right = MIDDLE + SCALE * EDGE;
  const grey = { stroke: "#777", "stroke-width": 2 };
  const floor = FLOOR + 15;
  node("line", { x1: left, x2: right, y1: floor, y2: floor, ...grey }, svg);
  for (const x of [left, right])
    node("line", { x1: x, x2: x, y1: floor - 20, y2: floor + 12, ...grey }, svg);
  const cart = node("rect", { width: 72, height: 30, fill: "#444" }, svg);
  const pole = node(
    "line",
    { stroke: "#d55e00", "stroke-width": 9, "stroke-linecap": "round" },
    svg,
  );
  const push = node(
    "text",
    { fill: "#0072b2", "font-size": 26, "text-anchor": "middle" },
    svg,
  );
  // How long the episode lasted, of 500 steps, and where we are in it.
  const bar = (x) => left + ((right - left) * x) / 500;
  node("rect", { x: left, y: 246, width: right - left, height: 10, fill: "#eee" }, svg);
  const lasted = node("rect", { x: left, y: 246, height: 10, fill: "#56b4e9" }, svg);
  const wanted = node("line", { y1: 238, y2: 264, stroke: "#000", "stroke-width": 2 }, svg);
  const now = node("circle", { cy: 251, r: 7, fill: "#d55e00" }, svg);
  const small = { "font-size": 12, fill: "#333", y: 280, "text-anchor": "middle" };
  for (const x of [0, 100, 200, 300, 400, 500])
    node("text", { ...small, x: bar(x) }, svg, `${x}`);

  const first = element("div", { class: "attn-row" }, el);
  const ask = slider("return asked for", films.length - 1, first);
  const second = element("div", { class: "attn-row" }, el);
  const button = element("button", { type: "button" }, second, "Play");
  const time = slider("step", 1, second);
  const said = element("p", { role: "status", class: "attn-said" }, el);
  let timer = null;
  let played = null; // the step while it plays; the model has that of its start
  const stepNow = () => played ?? model.get("step");

  const within = (x, most) => Math.max(0, Math.min(most, x));

  function redraw() {
    const film = films[within(model.get("number"), films.length - 1)];
    const step = within(stepNow(), film.got - 1);
    const position = film.positions[step];
    const x = MIDDLE + SCALE * position;
    cart.setAttribute("x", x - 36);
    cart.setAttribute("y", FLOOR - 15);
    const [topX, topY] = poleTop(position, film.angles[step]);
    for (const [key, value] of [["x1", x], ["y1", FLOOR], ["x2", topX], ["y2", topY]])
      pole.setAttribute(key, value);
    push.textContent = film.actions[step] ? "→" : "←";
    push.setAttribute("x", x + (film.actions[step] ? -58 : 58));
    push.setAttribute("y", FLOOR + 9);
    lasted.setAttribute("width", bar(film.got) - left);
    const goal = bar(Math.min(film.target, 515));
    wanted.setAttribute("x1", goal);
    wanted.setAttribute("x2", goal);
    now.setAttribute("cx", bar(step));
    ask.input.value = model.get("number");
    ask.shown.textContent = `${film.target}`;
    time.input.max = film.got - 1;
    time.input.value = step;
    time.shown.textContent = `${step}`;
    const words = sentence(film, step);
    svg.setAttribute("aria-label", `cart and pole. ${words}`);
    if (timer === null) said.textContent = words; // silent while it plays
    model.set("said", words);
  }

  function stop() {
    if (timer !== null) clearInterval(timer);
    timer = null;
    keep();
    button.textContent = "Play";
    redraw();
    model.save_changes();
  }

  function keep() {
    if (played !== null) model.set("step", played);
    played = null;
  }

  function go(number, step) {
    if (timer !== null) played = step;
    model.set("number", number);
    if (timer === null) model.set("step", step);
    redraw();
  }

  // Python repeats the step it was told, which changes nothing here; a step
  // that differs is a new one.
  function chosen() {
    if (played !== null) played = model.get("step");
    redraw();
  }

  button.addEventListener("click", () => {
    if (timer !== null) return stop();
    const film = films[model.get("number")];
    if (model.get("step") >= film.got - 1) go(model.get("number"), 0);
    played = model.get("step");
    button.textContent = "Pause";
    timer = setInterval(() => {
      const step = played + 1;
      const end = films[model.get("number")].got - 1;
      if (step > end) return stop();
      go(model.get("number"), step);
    }, 20); // the game's own 50 steps a second
  });
  ask.input.addEventListener("input", () => {
    go(Number(ask.input.value), 0);
    model.save_changes();
  });
  time.input.addEventListener("input", () => {
    go(model.get("number"), Number(time.input.value));
    model.save_changes();
  });
  for (const part of [ask.input, time.input, button])
    part.addEventListener("keydown", (event) => event.stopPropagation());
  model.on("change:number", redraw);
  model.on("change:step", chosen);
  redraw();
  model.save_changes();
  return () => {
    if (timer !== null) clearInterval(timer);
    model.off("change:number", redraw);
    model.off("change:step", chosen);
    keep();
  };
}

export default { render };
