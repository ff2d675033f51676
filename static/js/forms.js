// Small helps for forms; everything works without them.

// A form that was sent can't be sent again by a second click (the server would refuse it anyway).
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || form.hasAttribute("hx-post")) return;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
  for (const button of form.querySelectorAll("button:not([type=button])")) button.setAttribute("aria-disabled", "true");
});

// Coming back by the browser's history shows the page as it was: let it be sent again.
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) {
    delete form.dataset.sent;
    for (const button of form.querySelectorAll("[aria-disabled]")) button.removeAttribute("aria-disabled");
  }
});

// What is wrong gets the focus, so that a keyboard or a screen reader begins there: the first field with an error,
// with all of a short one chosen, as Tab does it, and the caret at the end of a long one; or what was refused as a
// whole, before the form's first field.
const wrong = document.querySelector("[aria-invalid=true]") ?? document.querySelector("form [data-begin]");
wrong?.focus();
if (wrong?.matches("input")) wrong.select();
if (wrong?.matches("textarea")) wrong.setSelectionRange(wrong.value.length, wrong.value.length);

// Menus close by Escape, by a click elsewhere, and when the focus moves on: an open one would cover it.
document.addEventListener("keydown", (event) => {
  const menu = event.key === "Escape" && event.target.closest?.("details.menu[open]");
  if (menu) menu.querySelector("summary").focus();
  if (event.key === "Escape") closeMenus();
});
document.addEventListener("click", (event) => closeMenus(event.target.closest(".menu")));
document.addEventListener("focusin", (event) => closeMenus(event.target.closest(".menu")));

function closeMenus(but) {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (menu !== but) menu.open = false;
}

// What went wrong with a part of the page is said on the page, which stays as it was; asking again by itself
// (a page that refreshes a part) says nothing, since it tells in its own place when it lost touch.
const trouble = document.getElementById("trouble");

function tell(event, note) {
  if (!trouble || !event.detail.requestConfig?.triggeringEvent) return;
  trouble.replaceChildren(note);
}

document.addEventListener("htmx:responseError", (event) => {
  const answer = new DOMParser().parseFromString(event.detail.xhr.responseText, "text/html");
  tell(event, answer.querySelector(".note") ?? document.getElementById("no-answer").content.cloneNode(true));
});
document.addEventListener("htmx:sendError", (event) => tell(event, document.getElementById("no-answer").content.cloneNode(true)));
document.addEventListener("htmx:afterSwap", () => trouble?.replaceChildren());
