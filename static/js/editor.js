// Helps for the form of a rollback; everything works without them.
// Line numbers beside SQL, marks at the lines that a message names, and what htmx brings while one types.
// Tab stays what it is everywhere: it leaves the field.

// Line numbers. The field does not wrap, so one number stands beside each line; both scroll together.
function number(box) {
  const field = box.querySelector("textarea");
  const numbers = document.createElement("ol");
  numbers.className = "editor-lines";
  numbers.setAttribute("aria-hidden", "true");
  box.prepend(numbers);
  const count = () => {
    const wanted = field.value.split("\n").length;
    while (numbers.children.length > wanted) numbers.lastChild.remove();
    for (let n = numbers.children.length; n < wanted; n++) numbers.append(document.createElement("li"));
  };
  const follow = () => {
    numbers.scrollTop = field.scrollTop;
  };
  field.addEventListener("input", () => {
    count();
    follow();
  });
  field.addEventListener("scroll", follow);
  count();
  mark();
}

// Lines that a message names get a sign and the message.
function mark() {
  const numbers = document.querySelector("[data-editor] .editor-lines");
  if (!numbers) return;
  for (const line of numbers.querySelectorAll(".at")) {
    line.className = "";
    line.title = "";
  }
  for (const message of document.querySelectorAll("[data-line]")) {
    const line = numbers.children[message.dataset.line - 1];
    if (line) {
      line.className = "at";
      line.title = message.textContent.trim().replace(/\s+/g, " ");
    }
  }
}

// A message leads to its line and column.
document.addEventListener("click", (event) => {
  const message = event.target.closest("[data-line] a")?.closest("[data-line]");
  const field = document.querySelector("[data-editor] textarea");
  if (!message || !field) return;
  event.preventDefault();
  const lines = field.value.split("\n").slice(0, message.dataset.line - 1);
  const place = lines.join("\n").length + (lines.length ? 1 : 0) + Number(message.dataset.column) - 1;
  field.focus();
  field.setSelectionRange(place, place);
  const height = parseFloat(getComputedStyle(field).lineHeight);
  field.scrollTop = Math.max(0, (lines.length - 3) * height);
});

// Refusals of a part of the page are its answer too; only where nobody is signed in the part stays as it was.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { status } = event.detail.xhr;
  if (![400, 401, 409, 429].includes(status)) return;
  event.detail.isError = false;
  event.detail.shouldSwap = status !== 401;
  if (status === 401) document.querySelector("#signed-out")?.removeAttribute("hidden");
});

// What the server said of one field becomes the field's state.
document.addEventListener("htmx:afterSettle", (event) => {
  mark();
  const foot = event.detail.elt.closest?.(".field-foot");
  const field = foot?.parentElement.querySelector("input, select, textarea");
  if (!field) return;
  const said = [...foot.querySelectorAll("[id]")].map((each) => each.id);
  field.setAttribute("aria-describedby", said.join(" "));
  field.setAttribute("aria-invalid", foot.querySelector(".field-errors") ? "true" : "false");
});

for (const box of document.querySelectorAll("[data-editor]")) number(box);
