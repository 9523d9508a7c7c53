"use strict";
// The plot, flat or with depth: which axes, which part of it, what dragging does.

const stage = (() => {
  const place = document.getElementById("plane");
  const frame = document.getElementById("stage");
  const remark = document.getElementById("explorer-note");
  const flat = () => state.axes.length === 2;
  const drawing = () => (flat() ? plane : space);

  function draw() {
    grid.refresh();
    return drawing().draw().then(tellPart);
  }

  // Where not all points are drawn, the reader is told.
  function tellPart() {
    const part = drawing().part;
    const why = webgl ? "Where there is depth," : "This browser has no WebGL, so";
    remark.hidden = !part;
    remark.textContent = part
      ? `${why} ${number(part)} of ${number(images.count)} points are drawn;`
        + " searching, neighbours and lists know all of them."
      : "";
  }

  function recolour(colouring) {
    state.colouring = colouring;
    plane.recolour();
    return draw();
  }

  // Two components make a flat plot, a third one gives it depth.
  function show(axes) {
    const another = axes.length !== state.axes.length;
    state.axes = axes;
    if (another) Plotly.purge(place);
    frame.classList.toggle("depth", !flat());
    pointer.leave();
    return draw().then(() => { if (another) listen(); });
  }

  // After the plot was made: it forgets its listeners when it becomes another kind of plot.
  function listen() {
    if (flat()) plane.listen(place);
    else pointer.listenToSpace(place);
  }

  function use(tool) {
    state.tool = tool;
    frame.classList.toggle("drawing", tool === "lasso");
    if (flat()) Plotly.relayout(place, { dragmode: dragMode() });
  }

  function zoom(factor) {
    if (!flat()) return space.turn(0, 0, factor);
    plane.view.zoom(factor);
    return plane.show();
  }

  function move(right, up) {
    if (!flat()) return space.turn(right * 0.15, up * 0.15);
    plane.view.move(right * 0.1, up * 0.1);
    return plane.show();
  }

  function whole() {
    if (!flat()) return space.reset();
    plane.view.reset();
    return plane.show();
  }

  function ring(ringed) {
    state.ringed = ringed;
    if (flat()) plane.mark();
    else draw();
  }

  function begin() {
    let [width, height] = [place.clientWidth, place.clientHeight];
    new ResizeObserver(() => {
      if (place.clientWidth === width && place.clientHeight === height) return;
      [width, height] = [place.clientWidth, place.clientHeight];
      draw();
    }).observe(place);
    return draw().then(listen);
  }

  return { flat, draw, recolour, show, use, zoom, move, whole, ring, begin, place, frame };
})();

// On a touch screen a finger on the plot scrolls the page.
function dragMode() {
  return state.tool === "move" && !touch ? "pan" : false;
}
