// Alerts, newest first: the stored ones, then each as it is raised or cleared.

import { duration, score, time } from "./format.js";

const SHOWN_MAX = 200;

export class AlertList {
  #alerts = new Map();
  #list = document.getElementById("alert-list");
  #onChoose;
  #due = false;

  constructor(onChoose) {
    this.#onChoose = onChoose;
  }

  // What the database has; also after a gap in the live ones.
  async load() {
    const answer = await fetch(`/api/v1/alerts?limit=${SHOWN_MAX}`);
    if (!answer.ok) throw new Error(`alerts: ${answer.status}`);
    for (const stored of (await answer.json()).alerts) {
      this.#keep({
        id: stored.alert_id,
        device: stored.device_id,
        raised: Date.parse(stored.raised_at),
        cleared: stored.cleared_at && Date.parse(stored.cleared_at),
        peak: stored.peak_score,
        stale: stored.stale,
      });
    }
    this.#redraw();
  }

  take(event) {
    this.#keep({
      id: event.alert_id,
      device: event.device_id,
      raised: event.raised_at_ms,
      cleared: event.kind === "cleared" ? event.at_ms : null,
      peak: event.peak_score,
      stale: event.stale,
    });
  }

  #keep(alert) {
    const known = this.#alerts.get(alert.id);
    alert.cleared ??= known?.cleared;
    this.#alerts.set(alert.id, alert);
    this.#redraw();
  }

  #redraw() {
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => this.#show());
  }

  #show() {
    this.#due = false;
    const newest = [...this.#alerts.values()]
      .sort((a, b) => b.raised - a.raised)
      .slice(0, SHOWN_MAX);
    this.#alerts = new Map(newest.map((alert) => [alert.id, alert]));
    this.#list.replaceChildren(...newest.map((alert) => this.#row(alert)));
    document.getElementById("alerts-empty").hidden = newest.length > 0;
  }

  #row(alert) {
    const item = document.createElement("li");
    const button = document.createElement("button");
    const [dot, name, figure, when] = [0, 0, 0, 0].map(() => document.createElement("span"));
    // Of a backlog that is being worked off: shown, not shouted.
    const quiet = alert.cleared || alert.stale;
    dot.className = `dot ${quiet ? "silent" : "alert"}`;
    item.className = alert.stale ? "past" : "";
    name.className = "name";
    name.textContent = alert.device;
    when.className = "when";
    when.textContent = alert.cleared
      ? `${time(alert.raised)}, cleared after ${duration(alert.cleared - alert.raised)}`
      : `${time(alert.raised)}, open${alert.stale ? ", told late" : ""}`;
    name.append(when);
    figure.className = `figure ${quiet ? "" : "alert"}`;
    figure.textContent = score(alert.peak);
    figure.title = "highest score";
    button.type = "button";
    button.append(dot, name, figure);
    button.onclick = () => this.#onChoose(alert.device);
    item.append(button);
    return item;
  }
}
