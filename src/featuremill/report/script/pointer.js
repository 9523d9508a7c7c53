"use strict";
// Mouse, pen and finger on the plot: hover, click, lasso.

const pointer = (() => {
  const frame = document.getElementById("stage");
  const marks = document.getElementById("marks");
  const tip = document.getElementById("tip");
  const REACH = touch ? 24 : 14;
  const STEP = 4;
  let hovered = -1;
  let pressed = null;
  let loop = [];

  function at(event) {
    const box = frame.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  function hover(image, x, y) {
    if (image !== hovered) {
      hovered = image;
      tip.replaceChildren(
        pictures.of(image, 96),
        element("span", { className: "class" }, swatch(images.label[image]),
          ` ${images.labelOf(image) || "(no label)"}`),
        element("span", { className: "path" }, images.name(image)));
      tip.hidden = false;
    }
    // on the side where there is room
    const { clientWidth: width, clientHeight: height } = frame;
    const [right, below] = [x < width / 2, y < height / 2];
    Object.assign(tip.style, {
      left: right ? `${x + 16}px` : "",
      right: right ? "" : `${width - x + 16}px`,
      top: below ? `${y + 8}px` : "",
      bottom: below ? "" : `${height - y + 8}px`,
    });
  }

  function leave() {
    hovered = -1;
    tip.hidden = true;
  }

  function moved(event) {
    const [x, y] = at(event);
    if (loop.length) {
      extend(x, y);
    } else if (!pressed && stage.flat() && event.pointerType !== "touch") {
      const image = plane.view.holds(x, y) ? plane.view.nearest(x, y, REACH) : -1;
      if (image < 0) leave();
      else hover(image, x, y);
    }
  }

  function down(event) {
    if (event.button) return;
    pressed = at(event);
    leave();
    // the plot's own handlers keep the browser from it
    stage.place.focus({ preventScroll: true });
    if (state.tool !== "lasso" || !stage.flat()) return;
    marks.setPointerCapture(event.pointerId);
    loop = [pressed];
  }

  function up(event) {
    if (!pressed) return;
    const [x, y] = at(event);
    const still = Math.hypot(x - pressed[0], y - pressed[1]) < 5;
    const drawn = loop;
    letGo();
    // with depth, the plot itself tells what was clicked
    if (!stage.flat()) return;
    if (drawn.length > 2) choice.select("Inside the lasso", plane.view.inside(drawn));
    else if (still && plane.view.holds(x, y)) {
      const image = plane.view.nearest(x, y, REACH);
      if (image >= 0) choice.choose(image);
    }
  }

  function letGo() {
    pressed = null;
    loop = [];
    outline();
  }

  // Steps of a few pixels: no eye sees finer ones, and each costs time at every point.
  function extend(x, y) {
    const [lastX, lastY] = loop[loop.length - 1];
    if (Math.hypot(x - lastX, y - lastY) < STEP) return;
    loop.push([x, y]);
    outline();
  }

  function outline() {
    const corners = loop.map((corner) => corner.join()).join("L");
    marks.querySelector("path").setAttribute("d", loop.length > 1 ? `M${corners}Z` : "");
  }

  function listen() {
    frame.addEventListener("pointermove", moved);
    frame.addEventListener("pointerdown", down);
    frame.addEventListener("pointerleave", leave);
    frame.addEventListener("dblclick", stage.whole);
    addEventListener("pointerup", up);
    addEventListener("pointercancel", letGo);
    // whoever scrolls past the plot wants to scroll
    frame.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && document.activeElement !== stage.place) event.stopPropagation();
    }, { capture: true });
  }

  // What lies behind what is known to the plot alone.
  function listenToSpace(place) {
    place.on("plotly_hover", ({ points: [point], event }) => {
      const box = frame.getBoundingClientRect();
      hover(point.customdata, event.clientX - box.left, event.clientY - box.top);
    });
    place.on("plotly_unhover", leave);
    place.on("plotly_click", ({ points: [point] }) => choice.choose(point.customdata));
  }

  return { leave, listen, listenToSpace };
})();
