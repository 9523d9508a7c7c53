"use strict";
// The controls above the plot and the legend below it; the start of the explorer.

const explorer = (() => {
  const get = (id) => document.getElementById(id);
  const TYPING = 150;
  const MOST_CLASSES = 2000;

  function option(value, text) {
    return element("option", { value: String(value) }, text);
  }

  function fill() {
    for (const id of ["axis-x", "axis-y", "axis-z"]) {
      for (let axis = 0; axis < packed.axes; axis += 1) get(id).append(option(axis, axisShort(axis)));
    }
    if (packed.axes > 1) get("axis-y").value = "1";
    get("axis-y").parentNode.hidden = packed.axes < 2;
    get("axis-z").parentNode.hidden = packed.axes < 3 || !webgl;
    // of more, nobody finds one in a list: the search does
    const listed = packed.labels.length <= MOST_CLASSES ? packed.labels : [];
    get("highlight").parentNode.hidden = !listed.length;
    listed.forEach((label, index) => {
      const text = label || "(no label)";
      get("highlight").append(option(index, text));
      const entry = element("button", { type: "button", "aria-pressed": "false" },
        swatch(index), ` ${text}`);
      entry.dataset.label = index;
      get("legend").append(element("li", {}, entry));
    });
  }

  function setAxes() {
    const [across, up, depth] = ["axis-x", "axis-y", "axis-z"].map((id) => Number(get(id).value));
    if (depth >= 0) setTool("move");
    get("tool-lasso").disabled = depth >= 0;
    stage.show(depth < 0 ? [across, up] : [across, up, depth]);
    say(`Axes: ${state.axes.map(axisName).join(", ")}`);
  }

  function setTool(tool) {
    for (const name of ["move", "lasso"]) {
      get(`tool-${name}`).setAttribute("aria-pressed", String(name === tool));
    }
    stage.use(tool);
  }

  function setClass(label) {
    if (label < 0) choice.deselect();
    else choice.selectClass(label);
  }

  function listen() {
    const clicked = (id, action) => get(id).addEventListener("click", action);
    for (const id of ["axis-x", "axis-y", "axis-z"]) get(id).addEventListener("change", setAxes);
    clicked("tool-move", () => setTool("move"));
    clicked("tool-lasso", () => setTool("lasso"));
    clicked("zoom-in", () => stage.zoom(0.8));
    clicked("zoom-out", () => stage.zoom(1.25));
    clicked("zoom-whole", stage.whole);
    clicked("save", () => Plotly.downloadImage(stage.place, { format: "png", filename: "images" }));
    get("highlight").addEventListener("change", (event) => setClass(Number(event.target.value)));
    clicked("legend", (event) => {
      const entry = event.target.closest("button");
      if (!entry) return;
      const on = entry.getAttribute("aria-pressed") === "true";
      setClass(on ? -1 : Number(entry.dataset.label));
    });
    let waiting;
    get("search").addEventListener("input", (event) => {
      clearTimeout(waiting);
      waiting = setTimeout(() => choice.searchFor(event.target.value.trim()), TYPING);
    });
  }

  function begin() {
    get("explorer").hidden = false;
    fill();
    listen();
    pointer.listen();
    keyboard.listen();
    return stage.begin();
  }

  return { begin };
})();
