// What the pages do: light or dark, the contents on small screens, the place in "On this page", folded parts.
"use strict";

const root = document.documentElement;

// Light, dark, or as the system: one button that goes round, its choice remembered.
const choices = ["auto", "light", "dark"];
const system = matchMedia("(prefers-color-scheme: dark)");
const themeButton = document.querySelector("button.theme");

function showTheme(choice) {
  root.dataset.choice = choice;
  root.dataset.theme = choice === "dark" || (choice === "auto" && system.matches) ? "dark" : "light";
  const words = { auto: "as the system", light: "light", dark: "dark" };
  themeButton.querySelector(".hidden").textContent = `Color theme: ${words[choice]}`;
}

showTheme(root.dataset.choice || "auto");
system.addEventListener("change", () => showTheme(root.dataset.choice));
themeButton.addEventListener("click", () => {
  const choice = choices[(choices.indexOf(root.dataset.choice) + 1) % choices.length];
  try {
    localStorage.setItem("book-theme", choice);
  } catch (error) {
    // Storage is switched off: the choice lasts for this page.
  }
  showTheme(choice);
});

// The contents slide in on a small screen, and go with Escape or a touch outside.
const menu = document.querySelector("button.menu");
const contents = document.getElementById("contents");

function showContents(open) {
  menu.setAttribute("aria-expanded", String(open));
  root.classList.toggle("contents-open", open);
}

menu.addEventListener("click", () => {
  const open = menu.getAttribute("aria-expanded") !== "true";
  showContents(open);
  if (open) contents.querySelector("a")?.focus();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || menu.getAttribute("aria-expanded") !== "true") return;
  showContents(false);
  menu.focus();
});
document.addEventListener("click", (event) => {
  if (!contents.contains(event.target) && !menu.contains(event.target)) showContents(false);
});
// Nor does it stay in front of what the keyboard goes on to.
contents.addEventListener("focusout", ({ relatedTarget }) => {
  if (relatedTarget && !contents.contains(relatedTarget) && relatedTarget !== menu) showContents(false);
});
if (matchMedia("(min-width: 56rem)").matches) {
  contents.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
}

// Ctrl+K, or Command+K, goes to the search field. No single key does: speech input would press it with every word.
document.addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() !== "k" || event.ctrlKey === event.metaKey || event.altKey || event.shiftKey) return;
  const field = [...document.querySelectorAll("form.search input")].find((input) => input.offsetParent);
  if (!field) return;
  event.preventDefault();
  field.focus();
});

// On the search page, the words that were searched stay in the field.
const words = new URLSearchParams(location.search).get("q");
const searchField = document.querySelector("main form.search input");
if (searchField) {
  searchField.value = words || "";
  searchField.focus();
  // A browser reads no other page for a page from a disk: the results are titles then, without excerpts.
  if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}

// Mark the section that is being read.
const entries = new Map(
  [...document.querySelectorAll(".on-this-page a[href^='#']")].map((link) => [link.hash.slice(1), link]),
);
const sections = [...entries.keys()].map((id) => document.getElementById(id)).filter(Boolean);

function markSection() {
  const passed = sections.filter((section) => section.getBoundingClientRect().top < 140);
  const current = passed.at(-1);
  for (const [id, link] of entries) {
    if (current && id === current.id) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

if (sections.length) {
  let waiting = false;
  addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      markSection();
    });
  }, { passive: true });
  if (scrollY > 0) markSection();
}

// Sections out of sight were not laid out, so that the page is shown sooner. Once it is, they are, one in each idle
// moment; at once when the reader follows a link to one.
const late = root.classList.contains("sections-wait")
  ? [...document.querySelectorAll("article > section > :is(section, dl.py)")] : [];
const whenIdle = window.requestIdleCallback || ((call) => setTimeout(call, 50));

function layOutNext() {
  const section = late.shift();
  if (!section) return;
  section.style.contentVisibility = "visible";
  whenIdle(layOutNext);
}

function layOutAll() {
  while (late.length) late.shift().style.contentVisibility = "visible";
}

addEventListener("load", () => whenIdle(layOutNext));
document.addEventListener("click", (event) => event.target.closest("a[href*='#']") && layOutAll(), { capture: true });

// A link to something folded opens it; print shows everything.
function openTarget() {
  const id = decodeURIComponent(location.hash.slice(1));
  document.getElementById(id)?.closest("details")?.setAttribute("open", "");
}

openTarget();
addEventListener("hashchange", openTarget);
addEventListener("beforeprint", () => {
  document.querySelectorAll("article details:not([open])").forEach((details) => {
    details.open = true;
    details.dataset.opened = "";
  });
});
addEventListener("afterprint", () => {
  document.querySelectorAll("article details[data-opened]").forEach((details) => {
    details.open = false;
    delete details.dataset.opened;
  });
});

// What is too wide scrolls by itself: a stop of the Tab key then, so that arrow keys can move it, with a name.
{
  const kinds = {
    pre: "Code",
    ".katex-display": "Formula",
    ".pst-scrollable-table-container, .text_html, .calculator :is(.tensors, .weights)": "Table",
    ".calculator .says": "Result",
  };
  const scrolls = (box) =>
    box.scrollWidth > box.clientWidth ||
    (box.scrollHeight > box.clientHeight + 1 && getComputedStyle(box).overflowY !== "hidden");
  const mark = ({ box, kind }) => {
    const attributes = { tabindex: "0", role: "group", "aria-label": `${kind}, scrolls` };
    const needed = scrolls(box);
    for (const [name, value] of Object.entries(attributes)) {
      if (needed) box.setAttribute(name, value);
      else box.removeAttribute(name);
    }
  };

  // The watcher tells of a box once it is laid out, be it that a fold opens. Those that are not yet are not asked.
  const watched = new Map();
  const laidOut = new Set();
  const watcher = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      laidOut.add(watched.get(target));
      mark(watched.get(target));
    }
  });
  for (const [selector, kind] of Object.entries(kinds)) {
    for (const box of document.querySelectorAll(`article :is(${selector})`)) {
      const known = { box, kind };
      for (const part of [box, box.firstElementChild]) {
        if (!part || watched.has(part)) continue;
        watched.set(part, known);
        watcher.observe(part);
      }
    }
  }
  document.fonts.ready.then(() => laidOut.forEach(mark));
}

// The check mark on a copy button, in words for those who do not see it.
{
  const announcer = document.createElement("p");
  announcer.className = "hidden";
  announcer.setAttribute("role", "status");
  document.body.append(announcer);
  document.addEventListener("click", (event) => {
    announcer.textContent = event.target.closest(".copybtn")?.matches(".success") ? "Copied" : "";
  });
}
