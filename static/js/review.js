// The review page: comments are written where they belong. Without this file each link leads to a page of its own.
const plain = (event) => event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;

// The link to say something, beside a statement or on the number of one of its lines.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-say], .code a.n");
  if (!link || !plain(event) || !window.htmx) return;
  const place = link.closest(".thread-do") ?? link.closest(".statement, .panel").querySelector(":scope > .threads");
  if (!place) return;
  event.preventDefault();
  place.querySelector(".slot:has(> form)")?.remove();
  const slot = document.createElement("div");
  slot.className = "slot";
  const opener = place.querySelector(":scope > [data-say], :scope > div > [data-say]");
  if (place.matches(".thread-do")) place.append(slot);
  else (opener.parentElement === place ? opener : opener.parentElement).before(slot);
  window.htmx.ajax("GET", link.getAttribute("href"), { target: slot, swap: "innerHTML" }).then(() => {
    slot.querySelector("textarea")?.focus();
  });
});

// The numbers of lines are links, and a script has hundreds: Tab stops at one of each text, arrows go on from it.
for (const code of document.querySelectorAll(".code")) {
  const numbers = [...code.querySelectorAll("a.n")];
  for (const other of numbers.slice(1)) other.tabIndex = -1;
  code.addEventListener("keydown", (event) => {
    const here = numbers.indexOf(event.target);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const next = here < 0 || !step ? null : numbers[here + step];
    if (!next) return;
    event.preventDefault();
    numbers[here].tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
}

// "Not now" takes a form away again and leads back to where it was opened.
document.addEventListener("click", (event) => {
  const slot = event.target.closest("[data-dismiss]")?.closest(".slot");
  if (!slot || !plain(event)) return;
  event.preventDefault();
  const place = slot.parentElement;
  const back = place.querySelector(":scope > [data-say], :scope > div > [data-say]");
  slot.remove();
  back?.focus();
});

document.body.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr } = event.detail;
  const asked = new URL(event.detail.pathInfo.finalRequestPath, location.href).pathname;
  if (xhr.responseURL && new URL(xhr.responseURL).pathname !== asked) {
    // The session ended: what was typed is kept, and shown again after signing in.
    event.detail.shouldSwap = false;
    location.href = xhr.responseURL;
  } else if (xhr.status === 400 || xhr.status === 409) {
    event.detail.shouldSwap = true; // the form again, with what is wrong
    event.detail.isError = false;
  }
});

// What was said takes the focus, so that a keyboard goes on from there.
document.body.addEventListener("htmx:afterSettle", (event) => {
  const thread = event.detail.elt.closest?.(".thread") ?? null;
  thread?.focus({ preventScroll: true });
});

// On a phone the long halves are folded until somebody wants them; a link into one opens it by itself.
if (matchMedia("(max-width: 44rem)").matches) {
  for (const fold of document.querySelectorAll("details[data-fold][open]")) fold.open = Boolean(fold.querySelector(":target"));
}

// Say that something changed, by whomever else, while somebody reads; only they load the page anew.
const changed = document.getElementById("changed");
let source = null;
let since = changed?.dataset.since;
let speaking = false;

function listen() {
  source?.close();
  if (!changed || !window.EventSource) return;
  source = new EventSource(`${changed.dataset.changes}?since=${since}`);
  source.addEventListener("away", () => source.close());
  source.addEventListener("changed", () => {
    if (speaking) return; // what the reader said here is no news to them
    source.close();
    const template = changed.querySelector("template");
    if (changed.children.length === 1) changed.append(template.content.cloneNode(true));
  });
}

document.body.addEventListener("htmx:beforeRequest", (event) => {
  speaking = event.detail.requestConfig.verb === "post";
});
document.body.addEventListener("htmx:afterRequest", () => {
  if (!speaking) return;
  speaking = false;
  const newest = document.getElementById("open-threads")?.dataset.since;
  if (newest) since = newest;
  if (changed?.children.length === 1) listen();
});
window.addEventListener("pagehide", () => source?.close());
window.addEventListener("pageshow", listen);
