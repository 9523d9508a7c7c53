"use strict";
// The plot with depth: a part of the points where there are many, always with those that matter.

const space = (() => {
  const MOST = 20000;
  const place = document.getElementById("plane");
  const config = { displayModeBar: false, scrollZoom: true };
  let members = [];

  // Every nth image, and whatever is emphasised or ringed.
  function chosenPart() {
    const nth = Math.ceil(images.count / MOST);
    const part = new Set();
    for (let i = 0; i < images.count; i += nth) part.add(i);
    const wanted = emphasis.any() ? emphasis.list(MOST) : [];
    for (const image of [...wanted, ...state.ringed]) part.add(image);
    return Int32Array.from(part).sort();
  }

  function layout() {
    const axis = (component) => ({
      title: { text: axisName(component) },
      color: "--muted",
      gridcolor: "--line",
      zerolinecolor: "--line",
      showbackground: false,
      showspikes: false,
    });
    return themed({
      paper_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: 12, color: "--ink" },
      margin: { l: 0, r: 0, t: 0, b: 0 },
      width: place.clientWidth,
      height: place.clientHeight,
      showlegend: false,
      // the same camera after every change, until other axes are chosen
      uirevision: state.axes.join(),
      scene: {
        xaxis: axis(state.axes[0]),
        yaxis: axis(state.axes[1]),
        zaxis: axis(state.axes[2]),
        hovermode: "closest",
        dragmode: "orbit",
        uirevision: state.axes.join(),
      },
    });
  }

  function trace(of, size, opacity) {
    const [x, y, z] = state.axes.map((component) => scores.along(component));
    return {
      type: "scatter3d",
      mode: "markers",
      x: Float32Array.from(of, (i) => x[i]),
      y: Float32Array.from(of, (i) => y[i]),
      z: Float32Array.from(of, (i) => z[i]),
      customdata: of,
      hoverinfo: "none",
      marker: {
        size,
        opacity,
        color: Array.from(of, (i) => packed.colours[lookOf(i)[0]]),
      },
    };
  }

  function draw() {
    members = chosenPart();
    const bright = emphasis.any() ? members.filter((i) => emphasis.has(i)) : members;
    const faint = emphasis.any() ? members.filter((i) => !emphasis.has(i)) : new Int32Array(0);
    const rings = trace(Int32Array.from(state.ringed), 7, 1);
    rings.hoverinfo = "skip";
    rings.marker.symbol = "circle-open";
    rings.marker.line = { width: 2, color: themed({ color: "--ink" }).color };
    rings.marker.color = rings.marker.line.color;
    const data = [trace(bright, 2.5, 0.85), trace(faint, 2, 0.08), rings];
    return Plotly.react(place, data, layout(), config);
  }

  // Turn around by so many radians, and up; nearer by a factor.
  function turn(around, up, factor = 1) {
    const { x, y, z } = place.layout.scene.camera?.eye ?? { x: 1.25, y: 1.25, z: 1.25 };
    const flat = Math.hypot(x, y);
    const far = Math.hypot(flat, z) * factor;
    const angle = Math.atan2(y, x) + around;
    const height = Math.max(-1.5, Math.min(1.5, Math.atan2(z, flat) + up));
    const eye = {
      x: far * Math.cos(height) * Math.cos(angle),
      y: far * Math.cos(height) * Math.sin(angle),
      z: far * Math.sin(height),
    };
    return Plotly.relayout(place, { "scene.camera.eye": eye });
  }

  return {
    draw, turn,
    reset: () => Plotly.relayout(place, { "scene.camera.eye": { x: 1.25, y: 1.25, z: 1.25 } }),
    get part() { return members.length < images.count ? members.length : 0; },
  };
})();
