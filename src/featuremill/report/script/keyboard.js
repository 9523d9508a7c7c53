"use strict";
// Everything that the mouse can do, without it.

const keyboard = (() => {
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

  function pressed(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const arrow = ARROWS[event.key];
    if (arrow && event.shiftKey) step(...arrow);
    else if (arrow) stage.move(...arrow);
    else if (event.key === "+" || event.key === "=") stage.zoom(0.8);
    else if (event.key === "-") stage.zoom(1.25);
    else if (event.key === "0") stage.whole();
    else if (event.key === "Enter") chooseMiddle();
    else if (event.key === "Escape") (state.chosen < 0 ? choice.deselect : choice.letGo)();
    else return;
    event.preventDefault();
  }

  function chooseMiddle() {
    if (!stage.flat()) return;
    const { width, height } = plane.view;
    const [x, y] = [margin.left + width / 2, margin.top + height / 2];
    const image = plane.view.nearest(x, y, Math.hypot(width, height));
    if (image >= 0) choice.choose(image);
  }

  // To the nearest image within 45 degrees of a direction.
  function step(right, up) {
    if (!stage.flat()) return;
    if (state.chosen < 0) {
      chooseMiddle();
      return;
    }
    const [x, y] = plane.view.at(state.chosen);
    const next = plane.view.nearest(x, y, Infinity, (_, dx, dy) => {
      const ahead = dx * right - dy * up;
      return ahead > 0.5 && ahead >= Math.abs(right ? dy : dx);
    });
    if (next >= 0) choice.choose(next);
  }

  return { listen: () => stage.place.addEventListener("keydown", pressed) };
})();
