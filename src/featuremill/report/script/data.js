"use strict";
// Undoes what explorer.py packed: images are numbers from 0, in the order of their paths.

const packed = JSON.parse(document.getElementById("explorer-data").textContent);

function bytes(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const letters = atob(text);
  const found = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i += 1) found[i] = letters.charCodeAt(i);
  return found;
}

function bytesOf(id) {
  return bytes(document.getElementById(id).textContent);
}

const images = (() => {
  const count = packed.images;
  const paths = [];
  const label = new Int32Array(count);
  for (const [start, place, end, inside] of packed.folders) {
    label.fill(place, paths.length, paths.length + inside.length);
    for (const name of inside) paths.push(start + name + end);
  }
  const name = (image) => paths[image].slice(paths[image].lastIndexOf("/") + 1);
  return {
    count,
    label,
    name,
    path: (image) => paths[image],
    labelOf: (image) => packed.labels[label[image]],
    called: (image) => `${packed.labels[label[image]] || "(no label)"}: ${name(image)}`,
  };
})();

const scores = {
  // Upper bytes of every component, one component after the other.
  upper: new Int8Array(bytesOf("upper").buffer),
  lower: bytesOf("lower"),
  axes: new Map(),

  // Scores along a component, as numbers; kept, since one comes back to an axis. Where there is
  // but one component, the other axis is none, -1.
  along(component) {
    if (component < 0) return new Float32Array(images.count);
    if (!this.axes.has(component)) {
      const start = component * images.count;
      const step = packed.components[component][1] / 32767;
      const found = new Float32Array(images.count);
      for (let i = 0; i < images.count; i += 1) {
        found[i] = (this.upper[start + i] * 256 + this.lower[start + i]) * step;
      }
      this.axes.set(component, found);
    }
    return this.axes.get(component);
  },
};

function number(value) {
  return value.toLocaleString("en-US");
}

// An element with properties and children; text never becomes markup.
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "on") {
      for (const [event, handler] of Object.entries(value)) made.addEventListener(event, handler);
    } else if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

// What points may have the colour of: their class first, then what else is known of them.
const colourings = [
  { name: "class", values: packed.labels, looks: packed.looks, code: images.label },
  ...packed.colourings.map(([name, values, codes]) => ({
    name,
    values,
    looks: values.map((_, place) =>
      [place % packed.colours.length, Math.floor(place / packed.colours.length)]),
    code: bytes(codes),
  })),
];

// The colour and shape of a class, or of a value of another column, as in the tables.
function swatch(value, by = colourings[0]) {
  const [colour, shape] = by.looks[value];
  const names = "http://www.w3.org/2000/svg";
  const drawing = document.createElementNS(names, "svg");
  const use = document.createElementNS(names, "use");
  use.setAttribute("href", `#shape-${packed.shapes[shape]}`);
  drawing.setAttribute("class", "swatch");
  drawing.setAttribute("aria-hidden", "true");
  drawing.style.color = packed.colours[colour];
  drawing.append(use);
  return drawing;
}
