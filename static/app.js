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

// A connection that is lost is told where the app's own words about a form would be, or above the part that asked.
const place = (elt) => {
  if (!elt.matches("form")) return elt.closest(".card");
  const before = (told) => told.compareDocumentPosition(elt) & Node.DOCUMENT_POSITION_FOLLOWING;
  return [...document.querySelectorAll(".told")].findLast(before);
};
document.addEventListener("htmx:sendError", ({ detail: { elt } }) => {
  place(elt)?.prepend(document.querySelector("#lost").content.cloneNode(true));
});
// So is an error that is not the app's own, but a proxy's: it takes the place of nothing.
document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  if (detail.xhr.status < 400 || detail.xhr.getResponseHeader("X-Request-Id")) return;
  detail.shouldSwap = false;
  htmx.trigger(detail.requestConfig.elt, "htmx:sendError", { elt: detail.requestConfig.elt });
});
document.addEventListener("htmx:beforeRequest", ({ detail: { elt } }) => {
  place(elt)?.querySelector(":scope > .lost")?.remove();
});

// What is wrong with all panels stands above them, once. It goes when nothing is missing any more.
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  const { target, fragment } = event.detail;
  target.querySelector(".retry")?.removeAttribute("aria-busy");
  if (target.textContent.trim() === fragment.textContent.trim()) event.preventDefault();
});
document.addEventListener("htmx:afterSwap", () => {
  const trouble = document.querySelector("#trouble");
  if (!trouble || document.querySelector(".missed")) return;
  const hadFocus = trouble.contains(document.activeElement);
  trouble.replaceChildren();
  if (hadFocus) document.querySelector("#content").focus();
});
document.addEventListener("click", (event) => {
  const retry = event.target.closest("#trouble .retry");
  if (!retry) return;
  event.preventDefault();
  retry.setAttribute("aria-busy", "true");
  for (const missed of document.querySelectorAll(".missed")) {
    missed.closest(".panel").querySelector(".choices [aria-current], .reload").click();
  }
});

// What was pressed shows that it is at work.
const pressed = (elt) => (elt.matches("form") ? elt.querySelector("[type=submit]") : elt.matches("a") ? elt : null);
document.addEventListener("htmx:beforeRequest", ({ detail: { elt } }) => pressed(elt)?.setAttribute("aria-busy", "true"));
document.addEventListener("htmx:afterRequest", ({ detail: { elt } }) => {
  pressed(elt)?.removeAttribute("aria-busy");
  if (document.activeElement === document.body) pressed(elt)?.focus(); // which left it while nobody could press it again
});

// A link that is to open in another tab does so: htmx, and what is above, would open it here.
const stepAside = (event) => {
  if ((event.ctrlKey || event.metaKey || event.shiftKey) && event.target.closest("a")) event.stopPropagation();
};
document.addEventListener("click", stepAside, { capture: true });

// Leaving the page loses what was typed, for the browser keeps nothing of it: it asks first, unless a form takes it along.
let sent;
document.addEventListener("submit", ({ target, defaultPrevented }) => (sent = defaultPrevented ? sent : target));
window.addEventListener("beforeunload", (event) => {
  const isLost = (field) => field.value !== field.defaultValue && field.form !== sent;
  if ([...document.querySelectorAll("textarea")].some(isLost)) event.preventDefault();
});

// The account menu closes on Escape, on a click beside it, and when the focus goes on.
const menu = document.querySelector("details.menu");
document.addEventListener("click", ({ target }) => {
  if (!menu.contains(target)) menu.open = false;
});
menu.addEventListener("focusout", ({ relatedTarget }) => {
  if (relatedTarget && !menu.contains(relatedTarget)) menu.open = false;
});
menu.addEventListener("keydown", ({ key }) => {
  if (key !== "Escape") return;
  menu.open = false;
  menu.querySelector("summary").focus();
});

// How long ago something was stays true while the page is open, whatever the visitor's clock says.
const units = Object.entries({ year: 31536000, month: 2592000, week: 604800, day: 86400, hour: 3600, minute: 60 });
const ago = new Intl.RelativeTimeFormat(document.documentElement.lang);
const begun = new WeakMap();
function grow() {
  for (const time of document.querySelectorAll("[data-age]")) {
    if (!begun.has(time)) begun.set(time, Date.now() - time.dataset.age * 1000);
    const age = (Date.now() - begun.get(time)) / 1000;
    const [unit, seconds] = units.find(([, length]) => age / length >= 0.85) ?? units.at(-1); // as the app's words do
    const words = age < 60 ? time.textContent : ago.format(-Math.round(age / seconds), unit);
    if (time.textContent !== words) time.textContent = words;
  }
}
grow();
document.addEventListener("htmx:load", grow);
setInterval(grow, 60000);
