// The live timeline: new notes come in by themselves while somebody looks at the page, unless they pause it.
// `data-live` is the address of the events. In its element are the list, `data-live-notes`, and templates/live.html: how
// it goes (`data-live-state`), the pause (`data-live-toggle`) and a word about notes that were missed (`data-live-gap`).

const MOST_NOTES = 100;
const FIRST_WAIT = 10_000; // milliseconds, and up to as much again: not everybody asks at once
const timelines = new Set();

class Timeline {
  constructor(element) {
    this.element = element;
    this.list = element.querySelector("[data-live-notes]");
    this.state = element.querySelector("[data-live-state]");
    this.toggle = element.querySelector("[data-live-toggle]");
    this.gap = element.querySelector("[data-live-gap]");
    this.paused = false;
    this.late = false; // whether anything came between the list and the stream
    this.owed = 0;
    this.wait = FIRST_WAIT;
    this.toggle.hidden = false;
    this.toggle.addEventListener("click", () => {
      this.paused = !this.paused;
      this.update();
    });
  }

  // Open or close the stream, whichever is due.
  update() {
    const wanted = !this.paused && this.element.isConnected && document.visibilityState === "visible";
    if (wanted && !this.source) this.open();
    if (!wanted) this.close();
    this.toggle.textContent = this.paused ? this.toggle.dataset.resume : this.toggle.dataset.pause;
    if (this.paused && !this.stopped) this.tell("paused", this.state.dataset.paused);
  }

  open() {
    this.stopped = false;
    this.tell("opening", this.state.dataset.opening);
    this.source = new EventSource(this.element.dataset.live);
    this.source.addEventListener("note", ({ data }) => this.insert(data));
    this.source.addEventListener("state", ({ data }) => this.hear(JSON.parse(data)));
    this.source.addEventListener("error", () => {
      if (this.source?.readyState === EventSource.CLOSED) this.refused();
      else this.tell("waiting", this.state.dataset.lost);
    });
  }

  close() {
    this.source?.close();
    this.source = undefined;
    this.late = true;
  }

  // Answered with an error, which ends the stream: by the app, or by a proxy while the app restarts.
  refused() {
    this.close();
    this.tell("stopped", this.state.dataset.refused);
    setTimeout(() => this.update(), this.wait * (1 + Math.random()));
    this.wait *= 2;
  }

  // What the app says of the server's stream: live, waiting or stopped.
  hear({ state, words }) {
    if (state === "stopped") return this.stop(words);
    if (state === "live") this.wait = FIRST_WAIT;
    if (state === "live" && this.late) this.gap.hidden = false;
    return this.tell(state, words);
  }

  stop(words) {
    this.paused = true;
    this.stopped = true;
    this.tell("stopped", words);
    this.update();
  }

  tell(state, words) {
    if (state !== "opening") this.late = true;
    this.state.dataset.liveIs = state;
    if (this.state.textContent !== words) this.state.textContent = words;
  }

  // Put a note at the top. Whoever is inside the list, or reads on below its beginning, stays where they are: not every
  // browser sees to that.
  insert(html) {
    const content = document.createElement("template");
    content.innerHTML = html;
    const note = content.content.firstElementChild;
    if (this.list.querySelector(`#${CSS.escape(note.id)}`)) return;
    const item = document.createElement("li");
    item.append(note);
    const isInside = this.list.contains(document.activeElement);
    const isBelow = this.list.getBoundingClientRect().top < 0;
    const reading = isInside ? document.activeElement : isBelow ? this.list.lastElementChild : null;
    const before = reading?.getBoundingClientRect().top;
    this.list.prepend(item);
    if (reading) {
      const moved = reading.getBoundingClientRect().top - before + this.owed;
      window.scrollBy({ top: Math.round(moved), behavior: "instant" }); // pages scroll by whole pixels
      this.owed = moved - Math.round(moved);
    }
    const last = this.list.lastElementChild;
    if (this.list.children.length > MOST_NOTES && !last.contains(document.activeElement)) last.remove();
    htmx.process(item);
  }
}

function update() {
  for (const timeline of timelines) {
    timeline.update();
    if (!timeline.element.isConnected) timelines.delete(timeline);
  }
}

document.addEventListener("htmx:load", () => {
  for (const element of document.querySelectorAll("[data-live]")) {
    if (![...timelines].some((timeline) => timeline.element === element)) timelines.add(new Timeline(element));
  }
  update();
});
document.addEventListener("htmx:afterSwap", update);
document.addEventListener("visibilitychange", update);
window.addEventListener("pageshow", update);
window.addEventListener("pagehide", () => timelines.forEach((timeline) => timeline.close()));
