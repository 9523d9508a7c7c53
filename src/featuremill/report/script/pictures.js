"use strict";
// Thumbnails are tiles of sheets; a sheet is decoded when one of its tiles is first shown.

const pictures = (() => {
  const data = document.getElementById("sheets-data");
  if (!data) return { has: () => false, of: (image, size) => blank(image, size) };
  const { edge, across, tiles, media, place: places, size: sizes } = JSON.parse(data.textContent);
  const place = new Int32Array(bytes(places).buffer);
  const covered = bytes(sizes);
  const filled = [];
  for (const tile of place) {
    if (tile >= 0) filled[Math.floor(tile / tiles)] = (filled[Math.floor(tile / tiles)] ?? 0) + 1;
  }
  const addresses = new Map();

  function address(sheet) {
    if (!addresses.has(sheet)) {
      const blob = new Blob([bytesOf(`sheet-${sheet}`)], { type: media });
      addresses.set(sheet, URL.createObjectURL(blob));
    }
    return addresses.get(sheet);
  }

  function blank(image, size) {
    const made = element("span", { className: "tile none", role: "img" });
    made.setAttribute("aria-label", images.called(image));
    made.style.width = made.style.height = `${size}px`;
    return made;
  }

  // A thumbnail in a square of so many pixels, as large as fits.
  function of(image, size) {
    if (place[image] < 0) return blank(image, size);
    const sheet = Math.floor(place[image] / tiles);
    const index = place[image] % tiles;
    const [width, height] = covered.subarray(2 * image, 2 * image + 2);
    const scale = size / Math.max(width, height);
    const made = element("span", { className: "tile", role: "img" });
    made.setAttribute("aria-label", images.called(image));
    const column = index % across;
    const row = (index - column) / across;
    Object.assign(made.style, {
      width: `${width * scale}px`,
      height: `${height * scale}px`,
      margin: `${(size - height * scale) / 2}px ${(size - width * scale) / 2}px`,
      backgroundImage: `url(${address(sheet)})`,
      backgroundPosition: `${-column * edge * scale}px ${-row * edge * scale}px`,
      backgroundSize: `${Math.min(across, filled[sheet]) * edge * scale}px auto`,
    });
    return made;
  }

  return { has: (image) => place[image] >= 0, of };
})();
