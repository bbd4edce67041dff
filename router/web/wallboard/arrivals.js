// When customers come: arrivals by weekday and hour over four weeks, for one queue or all.

import { now } from "../page/clock.js";
import { weekday } from "../page/format.js";
import { t } from "../page/texts.js";
import { SHADES, shade, Week } from "../page/week.js";
import { html, useMemo, useState } from "../page/view.js";
import { useReport } from "./reports.js";

const WEEKS = 4;
const MORNING = { day: 0, hour: 9 };

/** The last four weeks up to the running hour, on the hour by the reader's clock. Microseconds. */
export function fourWeeks(nowMs) {
  const from = new Date(nowMs);
  from.setMinutes(0, 0, 0);
  from.setDate(from.getDate() - 7 * WEEKS);
  return { from_us: from.getTime() * 1000, to_us: Math.round(nowMs * 1000) };
}

/** Received by [weekday][hour], 0 = Monday, by the reader's clock; of one queue, or "" for all. */
export function countsOf(rows, queue) {
  const counts = Array.from({ length: 7 }, () => new Array(24).fill(0));
  for (const row of rows) {
    if (queue && row.queue !== queue) continue;
    const at = new Date(row.start_us / 1000);
    counts[(at.getDay() + 6) % 7][at.getHours()] += row.received || 0;
  }
  return counts;
}

const mean = (count) => String(Math.round((count / WEEKS) * 10) / 10);

function looker(counts, most) {
  return (day, hour) => {
    const n = counts[day][hour];
    const words = t("arrivals_cell", { day: weekday(day, "long"), hours: `${hour}–${hour + 1}`, mean: mean(n), n });
    const best = most > 0 && n === most;
    return { shade: n ? Math.max(1, shade(n / most)) : 0, words: best ? `${words}, ${t("arrivals_peak")}` : words, best };
  };
}

function Arrived({ rows, queue }) {
  const counts = useMemo(() => countsOf(rows, queue), [rows, queue]);
  const most = Math.max(...counts.flat());
  const look = useMemo(() => looker(counts, most), [counts, most]);
  if (!most) return html`<div class="empty"><p>${t("arrivals_none")}</p></div>`;
  return html`<p class="quiet">${t("arrivals_words", { n: mean(most) })}</p>
    <${Week} key=${queue} label=${t("arrivals_week")} look=${look} start=${MORNING} />
    <p class="heat-legend" role="img" aria-label=${t("arrivals_legend")}>
      <span>0</span>
      <span class="heat-scale">${SHADES.map((each) => html`<span key=${each} class=${`heat-${each}`}></span>`)}</span>
      <span>${mean(most)}</span>
      <span class="line"><span class="heat-key" data-best="yes"></span>${t("arrivals_peak")}</span>
    </p>`;
}

export function Arrivals({ wall }) {
  const [queue, setQueue] = useState("");
  const [nowMs] = useState(now() / 1000);
  const { from_us: from, to_us: to } = fourWeeks(nowMs);
  const [{ loading, report, error }, again] = useReport(`by=queue&interval_s=3600&from_us=${from}&to_us=${to}`);
  const queues = [...wall.board.queues.keys()].sort();
  return html`<section class="panel view" data-view="arrivals" aria-label=${t("view_arrivals")}>
    <header class="panel-head">
      <h2>${t("arrivals_week")}</h2>
      <span class="grow" />
      <select id="arrivals-of" aria-label=${t("queue_column")} value=${queue} onChange=${(event) => setQueue(event.target.value)}>
        <option value="">${t("all_queues")}</option>
        ${queues.map((each) => html`<option key=${each} value=${each}>${each}</option>`)}
      </select>
    </header>
    <div class="arrivals">
      ${loading && html`<p class="quiet" aria-busy="true">${t("loading")}</p>`}
      ${error && html`<p class="problem" role="alert">${t("load_failed", { why: error })} <button class="link" onClick=${again}>${t("again")}</button></p>`}
      ${report && html`<${Arrived} rows=${report.rows || []} queue=${queue} />`}
    </div>
  </section>`;
}
