// The live page: what is chosen, what is shown, and whether it can be believed.

import { AlertList } from "./alerts.js";
import { DeviceCharts } from "./charts.js";
import { DeviceList } from "./devices.js";
import { count, duration, milliseconds, score, time } from "./format.js";
import { Live } from "./live.js";

const ROWS = 300;
const STALE_MS = 4000;
const SILENT_MS = 5000;
const BEHIND_S = 3;

const at = (id) => document.getElementById(id);
const search = at("search");
const order = at("order");
const charts = new DeviceCharts();
const devices = new DeviceList(choose);
const alerts = new AlertList(choose);
let heardMs = 0;
let behindS = 0;
let open = false;
let chosen = "";

const live = new Live({
  link(state) {
    open = state === "open";
    if (open) loadAlerts();
    showLink();
  },
  fleet(fleet) {
    heardMs = Date.now();
    behindS = fleet.behind_s;
    showFigures(fleet);
    devices.show(fleet);
    showDeviceState(fleet.watched.find(([id]) => id === chosen));
    showLink();
  },
  alert: (event) => alerts.take(event),
  alerts_missed: loadAlerts,
  samples(samples) {
    if (samples.device_id === chosen) charts.addSamples(samples);
  },
  score(scored) {
    if (scored.device_id === chosen) showScore(scored);
  },
});

function askFleet() {
  const wish = { search: search.value, order: order.value, limit: ROWS };
  live.subscribe({ subscribe: "fleet", ...wish });
}

async function loadAlerts() {
  try {
    await alerts.load();
  } catch {
    setTimeout(loadAlerts, 2000);
  }
}

async function choose(id) {
  if (chosen) live.unsubscribe("device", chosen);
  chosen = id;
  devices.mark(id);
  charts.clear();
  history.replaceState(null, "", id ? `#${encodeURIComponent(id)}` : " ");
  at("device-title").textContent = id || "No device chosen";
  at("device-state").textContent = at("device-note").textContent = "";
  at("score-now").textContent = "";
  at("device-empty").hidden = Boolean(id);
  at("charts").hidden = !id;
  if (!id) return;
  live.subscribe({ subscribe: "device", id });
  const answer = await fetch(`/api/v1/devices/${encodeURIComponent(id)}`).catch(() => null);
  if (answer?.ok && chosen === id) begin((await answer.json()).live);
}

// The window that the device's actor holds, so that the charts do not begin empty.
function begin(view) {
  if (!view || charts.newestMs) return;
  const channels = Object.keys(view.last);
  const end = Date.parse(view.window_end);
  const length = view.window[0].length;
  const step = (end - Date.parse(view.last_at)) || 5;
  const times = view.window[0].map((_, index) => end - (length - index) * step);
  charts.addSamples({ channels, t_ms: times, values: view.window });
  if (view.score != null) {
    const ended = Date.parse(view.score_end);
    showScore({ end_ms: ended, score: view.score, threshold: view.threshold });
  }
  at("device-note").textContent = `${view.profile}, partition ${view.partition}`;
}

function showScore(scored) {
  charts.addScore(scored);
  at("score-now").textContent = `${score(scored.score)} of ${score(scored.threshold)}`;
}

function showDeviceState(row) {
  if (!row) return;
  at("device-state").textContent = row[1];
  at("device-state").className = `state ${row[1]}`;
}

function showFigures(fleet) {
  at("samples-per-s").textContent = count(fleet.samples_per_s);
  at("windows-per-s").textContent = count(fleet.windows_per_s);
  at("latency-p50").textContent = milliseconds(fleet.latency_ms.p50);
  at("latency-p99").textContent = milliseconds(fleet.latency_ms.p99);
  at("lag").textContent = count(fleet.lag);
  at("devices-total").textContent = count(fleet.devices);
  at("alerts-open").textContent = count(fleet.states.alert);
  at("alerts-open").className = fleet.states.alert ? "wrong" : "";
  const stopped = fleet.stopped.map(({ remedy }) => remedy).join("; ");
  at("trouble").hidden = !stopped;
  at("trouble").textContent = stopped;
}

function showLink() {
  const age = Date.now() - heardMs;
  const fresh = open && age < STALE_MS;
  const behind = behindS > BEHIND_S;
  at("link").className = `link ${fresh && !behind ? "live" : "stale"}`;
  if (fresh) at("link").textContent = behind ? `${duration(behindS * 1000)} behind` : "live";
  else if (!heardMs) at("link").textContent = "connecting";
  else {
    const why = open ? "no news" : "reconnecting";
    at("link").textContent = `${why}, data of ${time(heardMs)} (${duration(age)} old)`;
  }
  const silent = charts.newestMs && Date.now() - charts.newestMs > SILENT_MS;
  document.querySelector("section.device").classList.toggle("faded", Boolean(silent) || !fresh);
}

search.oninput = askFleet;
order.onchange = askFleet;
setInterval(showLink, 1000);
addEventListener("hashchange", () => choose(decodeURIComponent(location.hash.slice(1))));
live.subscribe({ subscribe: "alerts" });
askFleet();
if (location.hash.length > 1) choose(decodeURIComponent(location.hash.slice(1)));
