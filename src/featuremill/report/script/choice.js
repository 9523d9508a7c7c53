"use strict";
// Which image is chosen, and which are selected.

const choice = (() => {
  const search = document.getElementById("search");
  const classes = document.getElementById("highlight");
  const legend = document.getElementById("legend");

  function choose(image) {
    if (state.chosen >= 0 && state.chosen !== image) state.before.push(state.chosen);
    show(image);
  }

  function back() {
    show(state.before.pop());
  }

  function show(image) {
    state.chosen = image;
    const near = panel.showImage(image);
    stage.ring([image, ...near]);
    const nearest = near.length ? `; nearest: ${images.called(near[0])}` : "";
    say(`Chosen: ${images.called(image)}${nearest}`);
  }

  function letGo() {
    state.chosen = -1;
    state.before = [];
    panel.hideImage();
    stage.ring([]);
    stage.place.focus({ preventScroll: true });
  }

  function select(title, members, label = -1) {
    classes.value = String(label);
    for (const entry of legend.querySelectorAll("button")) {
      entry.setAttribute("aria-pressed", String(Number(entry.dataset.label) === label));
    }
    emphasis.set(members);
    panel.showSelection(title, members);
    stage.draw();
    say(`${title}: ${number(members.length)} images`);
  }

  function selectClass(label) {
    const members = [];
    images.label.forEach((of, image) => { if (of === label) members.push(image); });
    select(packed.labels[label] || "(no label)", members, label);
  }

  function searchFor(words) {
    if (words) select(`Found “${words}”`, find(words));
    else deselect();
  }

  function deselect() {
    select("", []);
    panel.hideSelection();
    search.value = "";
    say("Nothing is selected");
  }

  return { choose, back, letGo, select, selectClass, searchFor, deselect };
})();
