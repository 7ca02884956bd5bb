// Forms with files: one that is too large is told at once, and how much is sent is shown. Both work without.

document.addEventListener("change", ({ target }) => {
  if (!target.dataset.mostBytes) return;
  const tooLarge = [...target.files].some((file) => file.size > Number(target.dataset.mostBytes));
  target.setCustomValidity(tooLarge ? target.dataset.tooLarge : "");  // keeps the form from being sent
  tell(target, tooLarge ? target.dataset.tooLarge : "");
});

// What is wrong with a field stands below it, where the app's own words about it would be.
function tell(field, words) {
  const id = `${field.id}-error`;
  const told = document.getElementById(id) ?? document.createElement("p");
  Object.assign(told, { id, className: "field-error", textContent: words });
  told.role = "alert";
  field.after(told);
  field.ariaInvalid = words ? "true" : null;
  const others = (field.getAttribute("aria-describedby") ?? "").split(" ").filter((other) => other && other !== id);
  field.setAttribute("aria-describedby", [...others, id].join(" "));
}

document.addEventListener("htmx:beforeRequest", ({ target }) => {
  const sending = target.querySelector(".sending");
  const chosen = [...target.querySelectorAll("input[type=file]")].some((input) => input.files.length);
  if (!sending) return;
  sending.hidden = !chosen;
  if (!chosen) return;
  sending.dataset.under = "way";
  show(sending, 0);
});

document.addEventListener("htmx:xhr:progress", ({ target, detail }) => {
  const sending = target.querySelector(".sending[data-under]");
  if (sending && detail.lengthComputable) show(sending, Math.floor((100 * detail.loaded) / detail.total));
});

// Comes twice: when all is sent, and when all of the answer is there.
document.addEventListener("htmx:xhr:loadend", ({ target }) => {
  const sending = target.querySelector(".sending[data-under]");
  if (!sending) return;
  delete sending.dataset.under;
  sending.querySelector("progress").removeAttribute("value");
  say(sending, sending.dataset.all);
});

// Also when the browser can't read a chosen file any more.
document.addEventListener("htmx:sendError", ({ target }) => {
  const sending = target.querySelector(".sending");
  if (!sending) return;
  delete sending.dataset.under;
  sending.querySelector("progress").hidden = true;
  say(sending, sending.dataset.failed);
});

function show(sending, percent) {
  const progress = sending.querySelector("progress");
  progress.hidden = false;
  progress.value = percent;
  if (percent < 100) say(sending, sending.dataset.sent.replace("#", percent - (percent % 10)));  // heard now and then
}

function say(sending, words) {
  const status = sending.querySelector("[role=status]");
  if (status.textContent !== words) status.textContent = words;
}
