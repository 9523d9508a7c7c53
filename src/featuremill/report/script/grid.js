"use strict";
// All images, or those selected, as a grid of thumbnails in the place of the plot.

const grid = (() => {
  const place = document.getElementById("grid");
  const STEP = 240;
  const SIZE = 80;
  let members = [];
  let shown = 0;

  // The next ones: a page of tens of thousands of pictures would not scroll.
  function more() {
    const next = members.slice(shown, shown + STEP);
    shown += next.length;
    place.append(...next.map((image) => element("button", {
      type: "button",
      className: "thumb",
      title: images.path(image),
      on: { click: () => choice.choose(image) },
    }, pictures.of(image, SIZE))));
  }

  function refresh() {
    if (place.hidden) return;
    members = emphasis.any()
      ? emphasis.list(images.count) : Array.from({ length: images.count }, (_, image) => image);
    shown = 0;
    place.replaceChildren();
    place.scrollTop = 0;
    more();
  }

  function show(on) {
    place.hidden = !on;
    refresh();
  }

  function listen() {
    // it lies over the plot, whose pointer follows what happens in their frame
    for (const event of ["pointermove", "pointerdown", "dblclick", "wheel"]) {
      place.addEventListener(event, (happened) => happened.stopPropagation());
    }
    place.addEventListener("scroll", () => {
      if (place.scrollTop + 2 * place.clientHeight > place.scrollHeight) more();
    });
  }

  return { show, refresh, listen };
})();
