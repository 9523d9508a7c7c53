"use strict";
// Where images are in the flat plot, in pixels: which is under the mouse, which a loop goes round.
// Looking at every point is faster than asking the plotting library, and it does not care how
// the points were drawn.

const margin = { left: 46, right: 12, top: 10, bottom: 40 };

function flatView(xs, ys) {
  const whole = { x: span(xs), y: span(ys) };
  return {
    xs, ys, whole,
    range: { x: [...whole.x], y: [...whole.y] },
    width: 0,
    height: 0,

    // Factors and offsets from scores to pixels of the drawing area.
    scale() {
      const [left, right] = this.range.x;
      const [bottom, top] = this.range.y;
      const kx = this.width / (right - left);
      const ky = this.height / (bottom - top);
      return { kx, ky, ox: margin.left - left * kx, oy: margin.top - top * ky };
    },

    at(image) {
      const { kx, ky, ox, oy } = this.scale();
      return [this.xs[image] * kx + ox, this.ys[image] * ky + oy];
    },

    holds(x, y) {
      return x >= margin.left && x <= margin.left + this.width
        && y >= margin.top && y <= margin.top + this.height;
    },

    // The image nearest to a place, no farther than so many pixels; -1 if there is none.
    // `fits` may leave images out.
    nearest(x, y, reach, fits) {
      const { kx, ky, ox, oy } = this.scale();
      let best = -1;
      let least = reach * reach;
      for (let i = 0; i < this.xs.length; i += 1) {
        const dx = this.xs[i] * kx + ox - x;
        const dy = this.ys[i] * ky + oy - y;
        const square = dx * dx + dy * dy;
        if (square < least && (!fits || fits(i, dx, dy))) {
          least = square;
          best = i;
        }
      }
      return best;
    },

    // Images inside a loop of places: those from which a line to the right crosses it oddly often.
    inside(loop) {
      const { kx, ky, ox, oy } = this.scale();
      const px = loop.map(([x]) => (x - ox) / kx);
      const py = loop.map(([, y]) => (y - oy) / ky);
      const [left, right, bottom, top] =
        [Math.min(...px), Math.max(...px), Math.min(...py), Math.max(...py)];
      const found = [];
      for (let i = 0; i < this.xs.length; i += 1) {
        const x = this.xs[i];
        const y = this.ys[i];
        if (x < left || x > right || y < bottom || y > top) continue;
        let odd = false;
        for (let a = 0, b = px.length - 1; a < px.length; b = a, a += 1) {
          if (py[a] > y !== py[b] > y
            && x < ((px[b] - px[a]) * (y - py[a])) / (py[b] - py[a]) + px[a]) odd = !odd;
        }
        if (odd) found.push(i);
      }
      return found;
    },

    zoom(factor) {
      for (const axis of ["x", "y"]) {
        const [low, high] = this.range[axis];
        const middle = (low + high) / 2;
        const half = ((high - low) / 2) * factor;
        this.range[axis] = [middle - half, middle + half];
      }
    },

    // Move by shares of what is seen, to the right and up.
    move(right, up) {
      for (const [axis, share] of [["x", right], ["y", up]]) {
        const [low, high] = this.range[axis];
        const by = (high - low) * share;
        this.range[axis] = [low + by, high + by];
      }
    },

    reset() {
      this.range = { x: [...this.whole.x], y: [...this.whole.y] };
    },
  };
}

// From the least to the largest of some numbers, with some air.
function span(values) {
  let least = Infinity;
  let largest = -Infinity;
  for (const value of values) {
    if (value < least) least = value;
    if (value > largest) largest = value;
  }
  const air = (largest - least) * 0.04 || 1;
  return [least - air, largest + air];
}
