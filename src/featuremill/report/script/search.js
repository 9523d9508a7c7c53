"use strict";
// Images whose path or class holds every word of a search, whatever its case.

let searched;

function find(wanted) {
  const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  // made at the first search: most readers never search
  searched ??= Array.from({ length: images.count }, (_, image) =>
    `${images.path(image)} ${images.labelOf(image)}`.toLowerCase());
  const found = [];
  for (let image = 0; image < images.count; image += 1) {
    if (words.every((word) => searched[image].includes(word))) found.push(image);
  }
  return found;
}
