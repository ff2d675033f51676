// Suggestions below the search field: arrow keys walk through them, Escape closes, leaving does too.
const form = document.querySelector("form.find");
const field = form?.querySelector("input");
const found = form?.querySelector(".found");

const links = () => [...found.querySelectorAll("a[href]")];

function close() {
  found.replaceChildren();
}

form?.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && found.childElementCount) {
    event.preventDefault();
    close();
    field.focus();
  }
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || !links().length) return;
  event.preventDefault();
  // The field itself is the place before the first suggestion and after the last.
  const places = [field, ...links()];
  const next = places.indexOf(document.activeElement) + step;
  places.at(next % places.length).focus();
});

form?.addEventListener("focusout", (event) => {
  if (!form.contains(event.relatedTarget)) setTimeout(() => form.contains(document.activeElement) || close(), 150);
});

// An answer that comes when nobody waits for it any more, or for a field that was emptied, is not shown. Nor is
// a page: a session that ended answers with the sign-in.
form?.addEventListener("htmx:beforeSwap", (event) => {
  const stale = !form.contains(document.activeElement) || !field.value.trim();
  if (stale || !event.detail.xhr.responseURL.includes("/search/")) event.detail.shouldSwap = false;
  if (!field.value.trim()) close();
});
