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
      get("highlight").append(option(index, label || "(no label)"));
    });
    colourings.forEach((by, place) => get("colour").append(option(place, by.name)));
    get("colour").parentNode.hidden = colourings.length < 2;
    fillLegend();
  }

  // An entry for each value of the column that the points have the colour of.
  function fillLegend() {
    const by = colourings[state.colouring];
    const values = by.values.length <= MOST_CLASSES ? by.values : [];
    get("legend").replaceChildren(...values.map((value, place) => {
      const entry = element("button", { type: "button", "aria-pressed": "false" },
        swatch(place, by), ` ${value || "(no label)"}`);
      entry.dataset[state.colouring ? "value" : "label"] = place;
      return element("li", {}, entry);
    }));
  }

  function setColouring(place) {
    stage.recolour(place);
    fillLegend();
    say(`Colour: ${colourings[place].name}`);
  }

  function selectValue(place) {
    const by = colourings[state.colouring];
    const members = [];
    for (let i = 0; i < images.count; i += 1) if (by.code[i] === place) members.push(i);
    choice.select(`${by.name} ${by.values[place]}`, members);
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

  function setView(asGrid) {
    get("view-plot").setAttribute("aria-pressed", String(!asGrid));
    get("view-grid").setAttribute("aria-pressed", String(asGrid));
    grid.show(asGrid);
  }

  function setClass(label) {
    if (label < 0) choice.deselect();
    else choice.selectClass(label);
  }

  function listen() {
    const clicked = (id, action) => get(id).addEventListener("click", action);
    for (const id of ["axis-x", "axis-y", "axis-z"]) get(id).addEventListener("change", setAxes);
    clicked("view-plot", () => setView(false));
    clicked("view-grid", () => setView(true));
    clicked("tool-move", () => setTool("move"));
    clicked("tool-lasso", () => setTool("lasso"));
    clicked("zoom-in", () => stage.zoom(0.8));
    clicked("zoom-out", () => stage.zoom(1.25));
    clicked("zoom-whole", stage.whole);
    clicked("save", () => Plotly.downloadImage(stage.place, { format: "png", filename: "images" }));
    get("colour").addEventListener("change", (event) => setColouring(Number(event.target.value)));
    get("highlight").addEventListener("change", (event) => setClass(Number(event.target.value)));
    clicked("legend", (event) => {
      const entry = event.target.closest("button");
      if (!entry) return;
      if (entry.dataset.value) {
        selectValue(Number(entry.dataset.value));
        return;
      }
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
    grid.listen();
    return stage.begin();
  }

  return { begin };
})();
