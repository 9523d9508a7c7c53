"use strict";
// Nearest images by the cosine of their components: all products, a few milliseconds.

const neighbours = (() => {
  const { count } = images;
  const kept = packed.components.length;
  // A byte stands for the middle of its step. Components were scaled to fill their bytes, so a
  // product weighs by the square of that scale; only the ratios of the weights matter.
  const first = packed.components[0][1];
  const weights = packed.components.map(([, largest]) => (largest / first) ** 2);
  let lengths;

  function products(image) {
    const found = new Float32Array(count);
    for (let component = 0; component < kept; component += 1) {
      const plane = scores.upper.subarray(component * count, (component + 1) * count);
      const factor = weights[component] * (plane[image] + 0.5);
      for (let i = 0; i < count; i += 1) found[i] += factor * (plane[i] + 0.5);
    }
    return found;
  }

  function measure() {
    const squares = new Float32Array(count);
    for (let component = 0; component < kept; component += 1) {
      const plane = scores.upper.subarray(component * count, (component + 1) * count);
      for (let i = 0; i < count; i += 1) squares[i] += weights[component] * (plane[i] + 0.5) ** 2;
    }
    return squares.map(Math.sqrt);
  }

  // So many images, the nearest first, as [image, cosine].
  function of(image, wanted) {
    lengths ??= measure();
    const cosines = products(image);
    const best = [];
    for (let i = 0; i < count; i += 1) {
      if (i === image) continue;
      const cosine = cosines[i] / (lengths[i] * lengths[image]);
      if (best.length === wanted && cosine <= best[wanted - 1][1]) continue;
      let at = best.length;
      while (at > 0 && best[at - 1][1] < cosine) at -= 1;
      best.splice(at, 0, [i, cosine]);
      if (best.length > wanted) best.pop();
    }
    return best;
  }

  return { of };
})();
