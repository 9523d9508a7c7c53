"use strict";
// The plots that are ready-made: the curve of the variance, the matrix of mistakes.

// Colours that name a variable of the style sheet take its present value. Only colours: a class
// may have such a name too.
function themed(figure) {
  const style = getComputedStyle(document.documentElement);
  const colour = (value) =>
    typeof value === "string" && value.startsWith("--")
      ? style.getPropertyValue(value).trim()
      : value;
  return JSON.parse(JSON.stringify(figure), (key, value) => {
    if (key === "colorscale") return value.map(([at, name]) => [at, colour(name)]);
    return /color$/.test(key) ? colour(value) : value;
  });
}

const readyMade = JSON.parse(document.getElementById("figures").textContent);

function drawFigure(name) {
  const { data, layout } = themed(readyMade[name]);
  return Plotly.react(name, data, layout, { displayModeBar: false, responsive: true })
    .then(() => Plotly.Plots.resize(name));
}

function drawFigures() {
  return Promise.all(Object.keys(readyMade).map(drawFigure));
}

const touch = matchMedia("(pointer: coarse)").matches;
