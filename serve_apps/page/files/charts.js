// One device: a strip per channel over the last seconds, and its scores with the threshold.

const SPAN_S = 8;
const SCORE_SPAN_S = 300;
const STRIP_HEIGHT = 66;
const SCORE_HEIGHT = 140;
const TIME_AXIS_HEIGHT = 20;
const SYNC = "device";
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

export class DeviceCharts {
  #samples = null;
  #strips = [];
  #scores = null;
  #scorePlot = null;
  #due = false;
  #resize = new ResizeObserver(() => this.#fit());
  newestMs = 0;

  constructor() {
    this.#resize.observe(document.querySelector("section.device"));
    matchMedia("(prefers-color-scheme: dark)").onchange = () => this.#recolour();
  }

  clear() {
    this.newestMs = 0;
    this.#samples = null;
    this.#scores = [[], [], []];
    this.#scorePlot?.destroy();
    this.#scorePlot = null;
    this.#strips.forEach((strip) => strip.destroy());
    this.#strips = [];
    document.getElementById("channel-charts").replaceChildren();
    this.#draw();
  }

  addSamples({ channels, t_ms: times, values }) {
    const known = this.#samples;
    if (!known || known.channels.join() !== channels.join()) this.#begin(channels);
    const { columns } = this.#samples;
    const newest = columns[0].at(-1) ?? -Infinity;
    times.forEach((ms, at) => {
      if (ms / 1000 <= newest) return;
      columns[0].push(ms / 1000);
      values.forEach((column, channel) => columns[channel + 1].push(column[at]));
    });
    this.newestMs = columns[0].at(-1) * 1000;
    trim(columns, SPAN_S);
    this.#draw();
  }

  addScore({ end_ms: end, score, threshold }) {
    if (end / 1000 <= (this.#scores[0].at(-1) ?? -Infinity)) return;
    [end / 1000, score, threshold].forEach((value, at) => this.#scores[at].push(value));
    trim(this.#scores, SCORE_SPAN_S);
    this.#draw();
  }

  #begin(channels) {
    this.#strips.forEach((strip) => strip.destroy());
    this.#samples = { channels, columns: [[], ...channels.map(() => [])] };
    const place = document.getElementById("channel-charts");
    const figures = channels.map((channel) => {
      const figure = document.createElement("figure");
      const caption = document.createElement("figcaption");
      caption.textContent = channel;
      figure.append(caption, document.createElement("div"));
      return figure;
    });
    place.replaceChildren(...figures);
    this.#strips = figures.map((figure, at) => {
      const series = [line(channels[at], `--series-${at % 6}`)];
      const last = at === figures.length - 1;
      return plot(figure.lastChild, STRIP_HEIGHT, series, SPAN_S, { timeAxis: last });
    });
  }

  #draw() {
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      this.#strips.forEach((strip, at) => {
        const { columns } = this.#samples;
        strip.setData([columns[0], columns[at + 1]]);
      });
      if (!this.#scores) return;
      this.#scorePlot ??= plot(
        document.getElementById("score-chart"),
        SCORE_HEIGHT,
        [line("score", "--accent", { points: { show: true, size: 4 } }), threshold()],
        SCORE_SPAN_S,
        { fromZero: true, timeAxis: true },
      );
      this.#scorePlot.setData(this.#scores);
    });
  }

  #fit() {
    const plots = [...this.#strips, this.#scorePlot].filter(Boolean);
    plots.forEach((each) => each.setSize({ width: width(each.root), height: each.height }));
  }

  #recolour() {
    const channels = this.#samples?.channels;
    this.#scorePlot?.destroy();
    this.#scorePlot = null;
    if (channels) {
      const { columns } = this.#samples;
      this.#begin(channels);
      this.#samples.columns = columns;
    }
    this.#draw();
  }
}

function plot(element, height, series, span, { fromZero = false, timeAxis }) {
  const axis = {
    stroke: colour("--quiet"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { show: false },
    font: "10px system-ui",
  };
  const times = (_, splits) => splits.map((s) => (timeAxis ? clock.format(s * 1000) : null));
  const from = (low, high) => Math.max(high - span, Math.min(low, high - SPAN_S));
  const range = (_, low, high) => {
    const pad = (high - low) * 0.08 || Math.abs(high) * 0.05 || 1;
    return fromZero ? [0, high + pad] : [low - pad, high + pad];
  };
  return new uPlot(
    {
      width: element.clientWidth || 600,
      height: height + (timeAxis ? TIME_AXIS_HEIGHT : 0),
      padding: [6, 8, timeAxis ? 0 : 6, 0],
      legend: { show: false },
      cursor: { sync: { key: SYNC }, y: false, drag: { setScale: false } },
      scales: { x: { range: (_, low, high) => [from(low, high), high] }, y: { range } },
      axes: [
        { ...axis, size: timeAxis ? TIME_AXIS_HEIGHT : 0, space: 90, values: times },
        { ...axis, size: 52, space: 20 },
      ],
      series: [{}, ...series],
    },
    [[], ...series.map(() => [])],
    element,
  );
}

function line(label, name, more = {}) {
  const points = { show: false };
  return { label, stroke: colour(name), width: 1.25, spanGaps: false, points, ...more };
}

function threshold() {
  return line("threshold", "--alert", { dash: [6, 4], width: 1.5 });
}

function colour(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

function width(root) {
  return root.parentElement.clientWidth;
}

function trim(columns, span) {
  const from = columns[0].at(-1) - span - 1;
  let gone = 0;
  while (columns[0][gone] < from) gone += 1;
  if (gone) columns.forEach((column) => column.splice(0, gone));
}
