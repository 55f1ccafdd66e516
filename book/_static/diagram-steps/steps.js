// Drawings that build up, step by step: the numbers under a drawing show it as far as that step, with the step's line.
// What is drawn at which step, the SVG says by data-step; book/_ext/diagram_steps.py makes the numbers and the lines.
"use strict";

for (const figure of document.querySelectorAll("figure.steps")) {
  const drawing = figure.querySelector("svg");
  const parts = [...drawing.querySelectorAll("[data-step]")];
  const lines = [...figure.querySelectorAll(".lines li")];
  const whole = drawing.getAttribute("aria-label");

  // `choice` is a step's number, or "all".
  const show = (choice) => {
    const step = choice === "all" ? Infinity : Number(choice);
    const line = lines[step - 1]?.textContent.trim();
    for (const part of parts) {
      part.classList.toggle("later", Number(part.dataset.step) > step);
    }
    lines.forEach((item, place) => item.classList.toggle("now", place === step - 1));
    figure.classList.toggle("building", Boolean(line));
    drawing.setAttribute("aria-label", line ? `Step ${step} of ${lines.length}. ${line}` : whole);
    return line ?? "The whole drawing.";
  };

  figure.addEventListener("change", (event) => {
    figure.querySelector("[role=status]").textContent = show(event.target.value);
  });
}
