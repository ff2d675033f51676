// The button that switches between light and dark. The choice is a cookie, so that the server sends the right page.
const root = document.documentElement;
const prefersDark = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  return (root.dataset.theme || (prefersDark.matches ? "dark" : "light")) === "dark";
}

document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-switch-theme]")) return;
  root.dataset.theme = isDark() ? "light" : "dark";
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `theme=${root.dataset.theme}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
});
