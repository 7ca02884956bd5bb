// What htmx and the browser leave open; every page works without it.

// The focus goes to the new heading of a part that is replaced while the focus is in it.
const held = new WeakSet();
document.addEventListener("htmx:beforeSwap", ({ detail: { target } }) => {
  if (target.contains(document.activeElement)) held.add(target);
});
document.addEventListener("htmx:afterSwap", ({ detail: { target } }) => {
  if (!held.delete(target) || !target.isConnected || target.contains(document.activeElement)) return;
  const heading = target.querySelector("h2");
  heading.tabIndex = -1;
  heading.focus();
});

// The account menu closes on Escape, and on a click beside it.
const menu = document.querySelector("details.menu");
document.addEventListener("click", ({ target }) => {
  if (!menu.contains(target)) menu.open = false;
});
menu.addEventListener("keydown", ({ key }) => {
  if (key !== "Escape") return;
  menu.open = false;
  menu.querySelector("summary").focus();
});
