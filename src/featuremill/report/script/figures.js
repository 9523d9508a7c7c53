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

const drawnFigures = new Set();

function drawFigure(name) {
  const { data, layout } = themed(readyMade[name]);
  drawnFigures.add(name);
  return Plotly.react(name, data, layout, { displayModeBar: false, responsive: true })
    .then(() => Plotly.Plots.resize(name));
}

// When they come near: the page opens sooner, and its top is what is looked at first.
function drawFiguresWhenSeen() {
  const watch = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      watch.unobserve(target);
      drawFigure(target.id);
    }
  }, { rootMargin: "100%" });
  for (const name of Object.keys(readyMade)) watch.observe(document.getElementById(name));
}

function redrawFigures(every) {
  return Promise.all((every ? Object.keys(readyMade) : [...drawnFigures]).map(drawFigure));
}

const touch = matchMedia("(pointer: coarse)").matches;
