"use strict";
// The flat plot: one trace for each look, drawn by WebGL; without it, a part of the points as SVG.

const webgl = Boolean(document.createElement("canvas").getContext("webgl"));
const PAINTED_WITHOUT_WEBGL = 4000;

const plane = (() => {
  const place = document.getElementById("plane");
  const marks = document.getElementById("marks");
  // Paths are in order, so every nth image is a part of every class.
  const nth = webgl ? 1 : Math.ceil(images.count / PAINTED_WITHOUT_WEBGL);
  let traces = byLook(nth);
  const config = { displayModeBar: false, scrollZoom: true, doubleClick: false };
  let view = null;

  // The images of each look, as drawn: Int32Arrays, with the look.
  function byLook(step) {
    const of = new Map();
    for (let i = 0; i < images.count; i += step) {
      const look = lookOf(i).join();
      if (!of.has(look)) of.set(look, []);
      of.get(look).push(i);
    }
    return [...of].map(([look, members]) => ({
      look: look.split(",").map(Number),
      members: Int32Array.from(members),
    }));
  }

  function pointSize() {
    return images.count > 30000 ? 3.5 : images.count > 3000 ? 5 : 7;
  }

  function layout() {
    const axis = (component, range) => ({
      title: { text: axisName(component), standoff: 6 },
      range: [...range],
      gridcolor: "--line",
      zerolinecolor: "--line",
      linecolor: "--line",
      tickfont: { color: "--muted" },
      nticks: 8,
    });
    return themed({
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: 12, color: "--ink" },
      margin: { l: margin.left, r: margin.right, t: margin.top, b: margin.bottom },
      width: place.clientWidth,
      height: place.clientHeight,
      showlegend: false,
      hovermode: false,
      dragmode: dragMode(),
      xaxis: axis(state.axes[0], view.range.x),
      yaxis: axis(state.axes[1], view.range.y),
    });
  }

  function drawn({ look: [colour, shape], members }) {
    const some = emphasis.any();
    // on a dark ground, what shines through darkens
    const style = getComputedStyle(document.documentElement);
    return {
      type: webgl ? "scattergl" : "scatter",
      mode: "markers",
      x: Float32Array.from(members, (i) => view.xs[i]),
      y: Float32Array.from(members, (i) => view.ys[i]),
      hoverinfo: "skip",
      marker: {
        size: pointSize(),
        color: packed.colours[colour],
        symbol: packed.shapes[shape],
        opacity: Number(style.getPropertyValue("--points")),
      },
      selectedpoints: some ? emphasis.of(members) : null,
      selected: { marker: { opacity: 0.9 } },
      unselected: { marker: { opacity: 0.05 } },
    };
  }

  function draw() {
    const [x, y] = state.axes.map((component) => scores.along(component));
    if (!view || view.xs !== x || view.ys !== y) view = flatView(x, y);
    view.width = place.clientWidth - margin.left - margin.right;
    view.height = place.clientHeight - margin.top - margin.bottom;
    mark();
    return Plotly.react(place, traces.map(drawn), layout(), config);
  }

  // After a look at another part: nothing is computed anew, only drawn.
  function show() {
    mark();
    return Plotly.relayout(place, {
      "xaxis.range": [...view.range.x],
      "yaxis.range": [...view.range.y],
    });
  }

  // Rings around the chosen image and its neighbours; cheap, so they follow every move.
  function mark() {
    const names = "http://www.w3.org/2000/svg";
    // the chosen one last, above its neighbours
    const rings = [...state.ringed.entries()].reverse().flatMap(([index, image]) => {
      const [cx, cy] = view.at(image);
      if (!view.holds(cx, cy)) return [];
      const ring = document.createElementNS(names, "circle");
      ring.setAttribute("class", index ? "ring" : "ring chosen");
      ring.setAttribute("cx", cx);
      ring.setAttribute("cy", cy);
      ring.setAttribute("r", index ? 6 : 9);
      return [ring];
    });
    marks.querySelectorAll("circle").forEach((old) => old.remove());
    marks.append(...rings);
  }

  // The library moves and zooms by itself; this follows it.
  function listen() {
    for (const event of ["plotly_relayouting", "plotly_relayout"]) {
      place.on(event, (changed) => {
        for (const [axis, name] of [["x", "xaxis"], ["y", "yaxis"]]) {
          const low = changed[`${name}.range[0]`];
          if (low !== undefined) view.range[axis] = [low, changed[`${name}.range[1]`]];
        }
        mark();
      });
    }
  }

  return {
    draw, show, mark, listen,
    recolour() { traces = byLook(nth); },
    part: nth > 1 ? Math.ceil(images.count / nth) : 0,
    get view() { return view; },
  };
})();

function axisShort(component) {
  return `${component + 1} (${(100 * packed.components[component][0]).toFixed(1)} %)`;
}

function axisName(component) {
  return component < 0 ? "" : `component ${axisShort(component)}`;
}
