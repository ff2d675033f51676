// Buttons that copy: [data-copy="id"] copies the text of that element, and says so in #id-said. Where the browser
// forbids it (no secure context), the text is selected instead. Without this file there is no button.
const show = () => document.querySelectorAll("[data-copy]").forEach((button) => { button.hidden = false; });
const copy = async (source, said) => {
  try {
    await navigator.clipboard.writeText(source.textContent);
    said.textContent = said.dataset.copied;
  } catch {
    getSelection().selectAllChildren(source);
    source.focus();
    said.textContent = said.dataset.selected;
  }
};
document.addEventListener("click", ({ target }) => {
  const source = document.getElementById(target.closest("[data-copy]")?.dataset.copy);
  if (source) copy(source, document.getElementById(`${source.id}-said`));
});
// Parts of live pages come again and again.
document.addEventListener("htmx:afterSettle", show);
show();
