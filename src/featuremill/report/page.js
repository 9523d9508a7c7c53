"use strict";

const source = document.getElementById("figures").textContent;
const chooser = document.getElementById("highlight");
const rootStyle = getComputedStyle(document.documentElement);
const webgl = Boolean(document.createElement("canvas").getContext("webgl"));
const touch = matchMedia("(pointer: coarse)").matches;

// Colours that name a variable of the style sheet take its present value.
function themed() {
  return JSON.parse(source, (key, value) =>
    /color$/.test(key) && typeof value === "string" && value.startsWith("--")
      ? rootStyle.getPropertyValue(value).trim()
      : value);
}

// Everything fades but the class that was chosen, which is drawn again on top.
function highlight(figure) {
  const [everyone, chosen] = figure.data;
  const label = chooser?.value;
  if (!label) return;
  everyone.marker.opacity = 0.08;
  everyone.customdata.forEach((row, index) => {
    if (row[0] !== label) return;
    chosen.x.push(everyone.x[index]);
    chosen.y.push(everyone.y[index]);
    chosen.customdata.push(row);
    chosen.marker.color = everyone.marker.color[index];
  });
}

function draw() {
  for (const [name, figure] of Object.entries(themed())) {
    if (name === "plane") highlight(figure);
    if (!webgl) figure.data.forEach((trace) => { trace.type = "scatter"; });
    if (touch) figure.layout.dragmode = false;
    const config = {
      displaylogo: false,
      displayModeBar: name === "plane" && !touch,
      // Named one by one, so that no button of a later plotly can send the data anywhere.
      modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
      responsive: true,
    };
    Plotly.react(name, figure.data, figure.layout, config);
  }
}

draw();
chooser?.addEventListener("change", draw);
for (const query of ["(prefers-color-scheme: dark)", "print"]) {
  matchMedia(query).addEventListener("change", draw);
}
