// The console with scripts: completing and inserting names of parameters, sending by key, copying by button.

// JSON, also half typed, as pieces with where they are and how deep. Members of the outer object are at depth 1.
const PIECE = /"(?:[^"\\\n]|\\.)*"|"[^\n]*|[{}[\],:]|[^\s"{}[\],:]+/g;
const pieces = (text) => {
  let depth = 0;
  return [...text.matchAll(PIECE)].map(({ 0: piece, index: start }) => {
    if ("}]".includes(piece)) depth -= 1;
    const found = { piece, depth, start, end: start + piece.length };
    if ("{[".includes(piece)) depth += 1;
    return found;
  });
};

// The name of a member that is being typed at the end of this text.
const nameAtEnd = (text) => {
  const [before, last] = pieces(text).slice(-2);
  const open = last && last.end === text.length && !/^(".*"|[{}[\],:])$/.test(last.piece.replace(/^"$/, ""));
  if (!open || last.depth !== 1 || !"{,".includes(before.piece)) return null;
  return { start: last.start, name: last.piece.replace(/^"/, "") };
};

const MOST_OFFERED = 8; // the list does not scroll; whoever types on sees the rest

const field = () => document.querySelector("#params");
const list = () => document.querySelector("#completions");
const offers = () => [...document.querySelectorAll("#parameters [name=insert]")];
const chosen = () => list().querySelector("[aria-selected=true]");

// Typing by this command, though deprecated, is the only way that leaves Undo as it was.
const type = (start, end, text) => {
  field().focus();
  field().setSelectionRange(start, end);
  document.execCommand("insertText", false, text);
};

// Inserts a member and marks its value, to be typed over.
const typeMember = (start, end, before, name, value, after) => {
  type(start, end, `${before}${JSON.stringify(name)}: ${value}${after}`);
  const last = field().selectionEnd - after.length;
  const inside = /^["[{]/.test(value) ? 1 : 0;
  field().setSelectionRange(last - value.length + inside, last - inside);
};

const insert = (name, value) => {
  const text = field().value;
  const all = pieces(text);
  const there = all.findIndex(
    ({ piece, depth }, at) => depth === 1 && piece === JSON.stringify(name) && all[at + 1]?.piece === ":",
  );
  const closing = all.findLast(({ piece, depth }) => piece === "}" && depth === 0);
  const last = all.filter((one) => one !== closing).at(-1);
  if (there >= 0 && all[there + 2]) {
    field().focus();
    field().setSelectionRange(all[there + 2].start, all[there + 2].end);
  } else if (!last) {
    typeMember(0, text.length, "{\n  ", name, value, "\n}");
  } else {
    const comma = "{,".includes(last.piece) ? "" : ",";
    typeMember(last.end, closing?.start ?? last.end, `${comma}\n  `, name, value, closing ? "\n" : "");
  }
};

const close = () => {
  list().hidden = true;
  list().replaceChildren();
  field().removeAttribute("aria-activedescendant");
  document.querySelector("#completing").textContent = "";
};

const offer = () => {
  close();
  const typed = field().value.slice(0, field().selectionEnd);
  const key = nameAtEnd(typed);
  const taken = key ? pieces(field().value).filter(({ depth }) => depth === 1).map(({ piece }) => piece) : [];
  const fitting = offers().filter(
    ({ value }) => key && value.startsWith(key.name) && !taken.includes(JSON.stringify(value)),
  );
  if (!fitting.length) return;
  list().append(
    ...fitting.slice(0, MOST_OFFERED).map((button, at) => {
      const option = document.createElement("li");
      option.id = `completion-${at}`;
      option.role = "option";
      option.ariaSelected = "false";
      option.textContent = button.value;
      option.dataset.empty = button.dataset.empty;
      return option;
    }),
  );
  list().hidden = false;
  list().scrollIntoView({ block: "nearest" });
  const told = document.querySelector("#completing");
  told.textContent = told.dataset.words;
};

const choose = (option) => {
  if (chosen()) chosen().ariaSelected = "false";
  option.ariaSelected = "true";
  option.scrollIntoView({ block: "nearest" });
  field().setAttribute("aria-activedescendant", option.id);
};

const accept = ({ textContent: name, dataset: { empty } }) => {
  const { value: text, selectionEnd: caret } = field();
  const { start } = nameAtEnd(text.slice(0, caret));
  const end = caret + /^\w*"?/.exec(text.slice(caret))[0].length;
  close();
  if (/^\s*:/.test(text.slice(end))) type(start, end, JSON.stringify(name));
  else typeMember(start, end, "", name, empty, "");
};

const keys = {
  ArrowDown: () => choose(chosen()?.nextElementSibling ?? list().firstElementChild),
  ArrowUp: () => choose(chosen()?.previousElementSibling ?? list().lastElementChild),
  Escape: close,
};

document.addEventListener("input", ({ target }) => {
  if (target === field()) offer();
});
document.addEventListener("focusout", ({ target }) => {
  if (target === field()) close();
});
document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  if (key === "Enter" && (event.ctrlKey || event.metaKey) && target.form?.id === "call") {
    event.preventDefault();
    target.form.requestSubmit();
  } else if (target === field() && !list().hidden && !event.isComposing) {
    const act = key === "Enter" && chosen() ? () => accept(chosen()) : keys[key];
    if (!act) return;
    event.preventDefault();
    act();
  }
});
// The focus stays in the text while an option is pressed.
document.addEventListener("mousedown", (event) => {
  const option = event.target.closest("#completions [role=option]");
  if (!option) return;
  event.preventDefault();
  accept(option);
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[name=insert], .copy");
  if (!button) return;
  event.preventDefault();
  if (button.name === "insert") insert(button.value, button.dataset.empty);
  else await copy(button);
});

const copy = async (button) => {
  const code = button.closest("details").querySelector("code");
  const told = button.parentElement.querySelector("[role=status]");
  told.textContent = "";
  try {
    await navigator.clipboard.writeText(code.textContent);
    told.textContent = button.dataset.copied;
  } catch { // without https, or not allowed
    getSelection().selectAllChildren(code);
    told.textContent = button.dataset.selected;
  }
};

// Tells people who hear the page that this text completes; without scripts it does not.
const announce = () => {
  field().setAttribute("aria-autocomplete", "list");
  field().setAttribute("aria-controls", "completions");
};
announce();
document.addEventListener("htmx:afterSwap", announce);
