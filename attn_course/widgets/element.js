// Shared by all views that draw in the browser: widgets.script() puts this text
// before theirs, since anywidget loads one file.

const SVG = "http://www.w3.org/2000/svg";

function fill(made, attributes, parent, text) {
  for (const [key, value] of Object.entries(attributes))
    made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

function element(name, attributes, parent, text) {
  return fill(document.createElement(name), attributes, parent, text);
}

function node(name, attributes, parent, text) {
  return fill(document.createElementNS(SVG, name), attributes, parent, text);
}

