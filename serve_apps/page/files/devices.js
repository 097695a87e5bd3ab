// The list of devices: rows are kept and moved, so that focus and scroll position survive.

import { count, score } from "./format.js";

const STATES = {
  alert: "alert",
  high: "above threshold",
  offline: "offline",
  ok: "ok",
  silent: "silent",
};

export class DeviceList {
  #rows = new Map();
  #list = document.getElementById("device-list");
  #onChoose;
  chosen = "";

  constructor(onChoose) {
    this.#onChoose = onChoose;
  }

  show({ rows, matching, states }) {
    const present = new Set(rows.map(([id]) => id));
    for (const [id, row] of this.#rows) {
      if (!present.has(id)) {
        row.item.remove();
        this.#rows.delete(id);
      }
    }
    rows.forEach((values, at) => this.#place(values, at));
    document.getElementById("states").replaceChildren(...counts(states));
    const more = matching - rows.length;
    document.getElementById("more").textContent =
      more > 0 ? `${count(more)} more match: search to narrow` : "";
  }

  mark(id) {
    this.chosen = id;
    for (const [each, row] of this.#rows) row.button.ariaPressed = String(each === id);
  }

  #place([id, state, value, threshold], at) {
    const row = this.#rows.get(id) ?? this.#add(id);
    row.dot.className = `dot ${state}`;
    row.figure.textContent = score(value);
    row.figure.className = `figure ${value > threshold ? state : ""}`;
    row.button.title = `${id}: ${STATES[state]}, score ${score(value)} of ${score(threshold)}`;
    if (this.#list.children[at] !== row.item) {
      this.#list.insertBefore(row.item, this.#list.children[at] ?? null);
    }
  }

  #add(id) {
    const item = document.createElement("li");
    const button = document.createElement("button");
    const dot = document.createElement("span");
    const name = Object.assign(document.createElement("span"), { className: "name" });
    const figure = document.createElement("span");
    name.textContent = id;
    button.append(dot, name, figure);
    button.type = "button";
    button.ariaPressed = String(id === this.chosen);
    button.onclick = () => this.#onChoose(id);
    item.append(button);
    const row = { item, button, dot, figure };
    this.#rows.set(id, row);
    return row;
  }
}

function counts(states) {
  return Object.entries(STATES)
    .filter(([state]) => states[state])
    .map(([state, label]) => {
      const span = document.createElement("span");
      span.className = state;
      span.textContent = `${count(states[state])} ${label}`;
      return span;
    });
}
