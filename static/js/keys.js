// Single keys for walking and deciding. Never inside a field, never with Ctrl, Alt or Meta, and not at all for
// whoever switched them off in their account (WCAG 2.1.4).
//   [data-rows] holds [data-row]s: j and k walk, o opens a row's first link (Enter does so by itself), or ticks its
//   box where there is no link.
//   [data-key="a"]: a presses that link, button or summary, or goes to that field.
//   / goes to the search, ? shows the keys of this page; [data-show-keys] does so by mouse.
const TYPED = "input:not([type=checkbox], [type=radio], [type=button], [type=submit]), textarea, select, [contenteditable]";
const off = document.documentElement.dataset.keys === "off";
let last = { row: null, href: null, index: -1 };

const seen = (element) => element.getClientRects().length > 0 && !element.matches(":disabled, [aria-disabled=true]");
const all = (selector) => [...document.querySelectorAll(selector)].filter(seen);
const opener = (row) => row.querySelector("a[href]") ?? row.querySelector("input[type=checkbox]:not(:disabled)");

// Where the reader is: in the focused row, or where they were before a part of the page was replaced.
function place(rows) {
  const focused = rows.indexOf(document.activeElement?.closest("[data-row]"));
  if (focused >= 0) return focused;
  const kept = rows.indexOf(last.row);
  if (kept >= 0) return kept;
  const same = rows.findIndex((row) => last.href && opener(row)?.href === last.href);
  return same >= 0 ? same : Math.min(last.index, rows.length - 1);
}

function walk(step) {
  const rows = all("[data-rows] [data-row]");
  if (!rows.length) return false;
  const index = Math.min(Math.max(place(rows) + step, 0), rows.length - 1);
  const row = rows[index];
  const goal = opener(row) ?? row;
  if (goal === row) row.tabIndex = -1;
  last = { row, href: opener(row)?.href, index };
  goal.focus();
  return true;
}

function open() {
  const row = document.activeElement?.closest("[data-row]") ?? (last.row?.isConnected ? last.row : null);
  const link = row && opener(row);
  link?.click();
  return Boolean(link);
}

function search() {
  const field = all("[data-search]")[0];
  field?.focus();
  field?.select();
  return Boolean(field);
}

function press(key) {
  const element = all("[data-key]").find((each) => each.dataset.key === key);
  if (!element) return false;
  if (element.matches("input, textarea, select")) element.focus();
  else element.click();
  return true;
}

// The keys of this page, as a list that is made when somebody asks for it.
function show() {
  const dialog = document.getElementById("keys");
  if (!dialog || document.querySelector("dialog[open]")) return false;
  const list = dialog.querySelector("dl");
  for (const made of list.querySelectorAll("[data-made]")) made.remove();
  list.querySelector("[data-for=rows]").hidden = !all("[data-rows] [data-row]").length;
  const known = new Set();
  for (const element of all("[data-key]")) {
    if (known.has(element.dataset.key)) continue;
    known.add(element.dataset.key);
    const [line, key, word] = [document.createElement("div"), document.createElement("kbd"), document.createElement("dd")];
    line.dataset.made = "";
    key.textContent = element.dataset.key;
    word.textContent = named(element);
    const term = document.createElement("dt");
    term.append(key);
    line.append(term, word);
    list.append(line);
  }
  dialog.showModal();
  return true;
}

// What a control is called, without the key that is drawn on it.
function named(element) {
  const label = element.getAttribute("aria-label") ?? element.labels?.[0]?.textContent;
  if (label) return label.trim();
  const copy = element.cloneNode(true);
  for (const drawn of copy.querySelectorAll("kbd")) drawn.remove();
  return copy.textContent.replace(/\s+/g, " ").trim();
}

const KEYS = { j: () => walk(1), k: () => walk(-1), o: open, "/": search, "?": show };

document.addEventListener("keydown", (event) => {
  if (off || event.defaultPrevented || event.isComposing) return;
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target.closest?.(TYPED) || document.querySelector("dialog[open]")) return;
  if (event.repeat && event.key !== "j" && event.key !== "k") return;
  if ((KEYS[event.key] ?? (() => press(event.key)))()) event.preventDefault();
});

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-show-keys]")) show();
});

// Say to assistive technology which key presses what; it is no promise where keys are off.
function announce(root) {
  if (off) return;
  for (const element of root.querySelectorAll("[data-key]")) element.setAttribute("aria-keyshortcuts", element.dataset.key);
  for (const field of root.querySelectorAll("[data-search]")) field.setAttribute("aria-keyshortcuts", "/");
}

announce(document);
for (const button of document.querySelectorAll("[data-show-keys]")) button.hidden = false;
document.addEventListener("htmx:load", (event) => announce(event.detail.elt));
