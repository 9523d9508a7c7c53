"use strict";
// Draws everything, and joins the tables and pictures of the page with the explorer.

function sortable(table) {
  for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
    if (!head.textContent || head.textContent === "examples") continue;
    const sort = document.createElement("button");
    sort.type = "button";
    sort.className = "sort";
    sort.textContent = head.textContent;
    sort.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "descending";
      for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => (down ? 1 : -1) * compare(a.cells[column], b.cells[column]));
      table.tBodies[0].append(...rows);
    });
    head.replaceChildren(sort);
  }
}

// Numbers as numbers, words as words; what is empty comes last when falling.
function compare(a, b) {
  const value = (cell) => cell.dataset.value ?? cell.textContent.trim();
  const [first, second] = [value(a), value(b)];
  const numbers = [first, second].map((text) => Number.parseFloat(text.replaceAll(",", "")));
  if (a.classList.contains("count")) return (numbers[0] || 0) - (numbers[1] || 0);
  return first.localeCompare(second);
}

// The library measures its texts in a drawing out of sight, which is nothing to be read out.
function hideTester() {
  document.getElementById("js-plotly-tester")?.setAttribute("aria-hidden", "true");
}

document.querySelectorAll("table[data-sortable]").forEach(sortable);

const withExplorer = typeof explorer !== "undefined";
if (withExplorer) {
  explorer.begin().then(hideTester).then(drawFigures);
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-row], a[data-label]");
    if (!link) return;
    event.preventDefault();
    if (link.dataset.row) choice.choose(Number(link.dataset.row));
    else choice.selectClass(packed.labels.indexOf(link.dataset.label));
    document.getElementById("images").scrollIntoView();
    stage.place.focus({ preventScroll: true });
  });
}

if (!withExplorer) drawFigures();

// Canvases know nothing of the style sheet, and paper shows everything.
for (const query of ["(prefers-color-scheme: dark)", "print"]) {
  matchMedia(query).addEventListener("change", () => {
    drawFigures();
    if (withExplorer) stage.draw();
  });
}

// What is folded away on the screen is on the paper.
addEventListener("beforeprint", () => {
  drawFigures();
  for (const folded of document.querySelectorAll("details")) folded.open = true;
});
