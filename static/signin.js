// While a server is being asked, its form says so and is not sent a second time.
const LONGEST = 20_000; // the app gives up before; it ends here when the visitor stopped it

const asking = document.querySelector("[data-asking]");
const progress = asking.querySelector("progress");
const told = asking.querySelector("[role=status]");
let end = 0;

const show = (words) => {
  told.textContent = words;
  progress.hidden = !words;
};

asking.closest("form").addEventListener("submit", (event) => {
  if (!progress.hidden) return event.preventDefault();
  show(asking.dataset.asking.replace("#", () => event.target.elements.host.value.trim()));
  end = setTimeout(show, LONGEST, "");
});

// Also when somebody goes back to a page that the browser kept as it was.
window.addEventListener("pageshow", () => {
  clearTimeout(end);
  show("");
});
