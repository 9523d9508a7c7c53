"use strict";
// What is chosen at the moment. One thing is selected at a time: a class, what a search found, or
// what a loop was drawn around.

const state = {
  axes: packed.axes > 1 ? [0, 1] : [0, -1],
  tool: "move",
  // which of the colourings
  colouring: 0,
  chosen: -1,
  // the chosen image and its neighbours
  ringed: [],
  // images chosen before
  before: [],
};

function lookOf(image) {
  const by = colourings[state.colouring];
  return by.looks[by.code[image]];
}

const emphasis = (() => {
  let mask = new Uint8Array(images.count);
  let selected = [];
  return {
    any: () => selected.length > 0,
    has: (image) => mask[image] === 1,
    list: (most) => selected.slice(0, most),
    set(members) {
      selected = members;
      mask = new Uint8Array(images.count);
      for (const image of members) mask[image] = 1;
    },
    // Where those emphasised stand among some images.
    of(members) {
      const found = [];
      for (let i = 0; i < members.length; i += 1) if (mask[members[i]]) found.push(i);
      return found;
    },
  };
})();

// For readers of the screen, and for those who wait.
function say(text) {
  document.getElementById("said").textContent = text;
}
