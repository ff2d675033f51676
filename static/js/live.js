// What a page shows has changed: heard over a stream of events, or else asked for by itself.
//   [data-stream="/…/changes/"] says where to listen. With hx-get and hx-trigger="changed" the element then asks
//   for itself anew; without, [data-live-changed] is shown, which says so and leaves the page as it is.
//   [data-every="2"]: without a stream it asks every 2 seconds, with one five times less often.
// Nobody looks at a hidden page: it listens to nothing, and a browser has but few connections for all its tabs.
const QUIET_MS = 12_000; // the server says at least every 5 s that it is there
const AGAIN_MS = 300_000;
let source = null;
let heard = 0;
let asked = Date.now();
let answered = Date.now();
let waiting = false;
let asking = false;
let away = 0;

const shown = () => document.querySelector("[data-stream]");
const asks = (element) => element?.hasAttribute("hx-get");

export const listening = () => source !== null && Date.now() - heard < QUIET_MS;
export const lastAnswer = () => answered;

function close() {
  source?.close();
  source = null;
}

function listen() {
  const element = shown();
  if (source || !element || document.hidden || !window.EventSource || Date.now() < away) return;
  source = new EventSource(element.dataset.stream);
  heard = Date.now() - QUIET_MS; // an open connection that says nothing is no stream
  for (const kind of ["changed", "beat", "away"]) source.addEventListener(kind, () => hear(kind));
  source.addEventListener("error", () => {
    if (source?.readyState === EventSource.CLOSED) rest();
    else heard = 0;
  });
}

// No stream to be had: the page asks by itself, and tries again in a while.
function rest() {
  close();
  away = Date.now() + AGAIN_MS;
}

function hear(kind) {
  heard = Date.now();
  if (kind === "away") rest();
  if (kind === "changed") ask();
}

function ask() {
  const element = shown();
  if (!asks(element)) {
    const note = document.querySelector("[data-live-changed]");
    if (note) note.hidden = false;
    return;
  }
  waiting = asking;
  if (!asking) fetchAnew(element);
}

async function fetchAnew(element) {
  asking = true;
  asked = Date.now();
  try {
    await htmx.ajax("GET", element.getAttribute("hx-get"), { source: element, target: element, swap: "outerHTML" });
  } catch {
    // Said by the page once it has not been answered for a while.
  }
  asking = false;
  if (!asks(shown())) close();
  else if (waiting) ask();
}

document.body.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.successful && event.detail.elt.matches("[data-stream]")) answered = Date.now();
});

document.addEventListener("visibilitychange", () => {
  if (document.hidden) return close();
  answered = Date.now();
  listen();
  if (asks(shown())) ask();
});

setInterval(() => {
  listen();
  const element = shown();
  if (document.hidden || !asks(element)) return;
  const every = Number(element.dataset.every || 5) * (listening() ? 5 : 1);
  if (Date.now() - asked >= every * 1000) ask();
}, 500);
listen();
