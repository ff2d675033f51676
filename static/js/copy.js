// Buttons that copy: [data-copy="id"] copies the text of that element, and says so in #id-said. Where the browser
// forbids it (no secure context), the text is selected instead. Without this file there is no button.
for (const button of document.querySelectorAll("[data-copy]")) {
  const source = document.getElementById(button.dataset.copy);
  const said = document.getElementById(`${source.id}-said`);
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(source.textContent);
      said.textContent = said.dataset.copied;
    } catch {
      getSelection().selectAllChildren(source);
      source.focus();
      said.textContent = said.dataset.selected;
    }
  });
}
