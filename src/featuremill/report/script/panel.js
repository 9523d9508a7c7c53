"use strict";
// The panel beside the plot: what is selected, and the chosen image with its neighbours.

const panel = (() => {
  const NEIGHBOURS = 12;
  const SHOWN = 60;
  const CLASSES = 6;
  const FEWEST_COMPONENTS = 3;
  const chosen = document.getElementById("chosen");
  const selection = document.getElementById("selection");
  const hint = document.getElementById("hint");

  function button(text, action, more = {}) {
    return element("button", { type: "button", on: { click: action }, ...more }, text);
  }

  function className(label) {
    return element("span", { className: "class" }, swatch(label),
      ` ${packed.labels[label] || "(no label)"}`);
  }

  function thumbnail(image, size) {
    return button(pictures.of(image, size), () => choice.choose(image),
      { className: "thumb", title: images.path(image) });
  }

  function showImage(image) {
    const label = images.label[image];
    const found = packed.components.length >= FEWEST_COMPONENTS
      ? neighbours.of(image, NEIGHBOURS) : [];
    const others = found.filter(([other]) => images.label[other] !== label).length;
    chosen.replaceChildren(
      element("div", { className: "bar-line" },
        element("h3", {}, "Chosen image"),
        ...(state.before.length ? [button("Back", choice.back)] : []),
        button("Let go", choice.letGo)),
      element("div", { className: "chosen" },
        pictures.of(image, 112),
        element("p", {},
          button(className(label), () => choice.selectClass(label), { className: "quiet" }),
          element("span", { className: "path" }, images.path(image)),
          ...original(image))),
      element("h3", {}, "Nearest images"),
      found.length
        ? element("p", { className: "note" }, others
          ? `${others} of ${found.length} are of other classes, which are marked.`
          : `All ${found.length} are of the same class.`)
        : element("p", { className: "note" }, "Neighbours need three components and two images."),
      element("ol", { className: "near" }, ...found.map(([other, cosine]) => {
        const line = thumbnail(other, 56);
        line.append(element("span", { className: "words" },
          className(images.label[other]),
          element("span", { className: "path" }, images.name(other)),
          element("span", { className: "note" }, rounded(cosine))));
        if (images.label[other] !== label) line.classList.add("other");
        return element("li", {}, line);
      })));
    reveal(chosen);
    return found.map(([other]) => other);
  }

  // The image itself in full size, where both it and this page are files of this machine.
  function original(image) {
    const path = images.path(image);
    if (location.protocol !== "file:" || !path.startsWith("/")) return [];
    // a path has its own percent-encoding already
    const href = `file://${path.replace(/[^/%]+/g, encodeURIComponent)}`;
    return [element("a", { href, target: "_blank", rel: "noopener" }, "Open in full size")];
  }

  function showSelection(title, members) {
    const counts = new Map();
    for (const image of members) {
      counts.set(images.label[image], (counts.get(images.label[image]) ?? 0) + 1);
    }
    const classes = [...counts].sort((a, b) => b[1] - a[1]);
    const rest = classes.length - CLASSES;
    const shown = spread(members);
    selection.replaceChildren(
      element("div", { className: "bar-line" },
        element("h3", {}, title),
        button("Save the list", () => save(members), { disabled: !members.length }),
        button("Let go", choice.deselect)),
      element("p", { className: "count" },
        `${number(members.length)} ${members.length === 1 ? "image" : "images"}`),
      element("ul", { className: "shares" },
        ...classes.slice(0, CLASSES).map(([label, count]) =>
          element("li", {}, className(label), ` ${number(count)}`)),
        ...(rest > 0 ? [element("li", {}, `and ${number(rest)} more classes`)] : [])),
      element("div", { className: "thumbs gallery" },
        ...shown.map((image) => thumbnail(image, 48))),
      ...(members.length > SHOWN
        ? [element("p", { className: "note" }, `${SHOWN} of them are shown.`)] : []));
    reveal(selection);
  }

  // As many as are shown, from everywhere; those that have a thumbnail before those without.
  function spread(members) {
    const seen = members.filter(pictures.has);
    const from = seen.length >= Math.min(SHOWN, members.length) ? seen : members;
    if (from.length <= SHOWN) return from;
    return Array.from({ length: SHOWN }, (_, at) => from[Math.floor(at * from.length / SHOWN)]);
  }

  // What came last stands first.
  function reveal(part) {
    part.hidden = false;
    hint.hidden = true;
    part.parentNode.prepend(part);
    part.parentNode.scrollTop = 0;
  }

  // Paths and classes as CSV; quotes doubled, and no cell that a spreadsheet would compute, also
  // where it separates cells by semicolons: as cells.py does it.
  function save(members) {
    const formula = /(^|[;|\t\r\n])(?=["'\s\u200b]*[=+\-@\uff1d\uff0b\uff0d\uff20\t\r])/g;
    const number = /^'*[+-]?\d+(\.\d+)?$/;
    const plain = (text) => number.test(text) ? text : text.replace(formula, "$1'");
    const cell = (text) => `"${plain(text).replaceAll('"', '""')}"`;
    const lines = members.map((image) =>
      `${cell(images.path(image))},${cell(images.labelOf(image))}\n`);
    const file = new Blob(["path,label\n", ...lines], { type: "text/csv" });
    const link = element("a", { href: URL.createObjectURL(file), download: "images.csv" });
    link.click();
    URL.revokeObjectURL(link.href);
  }

  function rounded(cosine) {
    return cosine < 0 ? `−${(-cosine).toFixed(2)}` : (Math.floor(cosine * 1000) / 1000).toFixed(3);
  }

  return {
    showImage, showSelection,
    hideImage() {
      chosen.hidden = true;
      hint.hidden = !selection.hidden;
    },
    hideSelection() {
      selection.hidden = true;
      hint.hidden = !chosen.hidden;
    },
  };
})();
