// Around the live part of an execution's page: say aloud what changed, keep what the reader opened, admit silence.
import { lastAnswer } from "./live.js";

const announce = document.getElementById("announce");
const lost = document.getElementById("live-lost");
const QUIET_MS = 10_000;

let said = live()?.dataset.say;
let opened = new Set();
let scrolled = { top: 0, atEnd: true };

function live() {
  return document.getElementById("live");
}

function log() {
  return document.getElementById("log");
}

document.body.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target.id !== "live") return;
  // A session that ended leads to the sign-in page: that must not take the place of what is known.
  if (!new URL(event.detail.xhr.responseURL).pathname.endsWith("/live/")) {
    event.detail.shouldSwap = false;
    return;
  }
  opened = new Set([...document.querySelectorAll("#live details[open][id]")].map((details) => details.id));
  const box = log();
  if (box) scrolled = { top: box.scrollTop, atEnd: box.scrollTop + box.clientHeight >= box.scrollHeight - 8 };
});

document.body.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target.id !== "live") return;
  for (const id of opened) {
    const details = document.getElementById(id);
    if (details) details.open = true;
  }
  const box = log();
  if (box) box.scrollTop = scrolled.atEnd ? box.scrollHeight : scrolled.top;
  const now = live()?.dataset.say;
  if (now && now !== said) announce.textContent = said = now;
});

setInterval(() => {
  const asking = live()?.hasAttribute("hx-get");
  lost.hidden = !asking || document.hidden || Date.now() - lastAnswer() < QUIET_MS;
}, 1000);

const box = log();
if (box) box.scrollTop = box.scrollHeight;
