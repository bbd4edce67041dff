// Reports: the measures of any span as a table, each with its formula, and as a file for spreadsheets.

import { now } from "../page/clock.js";
import { clockTime, day, length, share } from "../page/format.js";
import { get, getText } from "../page/session.js";
import { t, word } from "../page/texts.js";
import { html, useEffect, useState } from "../page/view.js";

const SHOWN = 500;
const HOUR_MS = 3_600_000;
const SPANS = ["today", "yesterday", "7", "31"];
const INTERVALS = ["900", "1800", "3600", "86400"];
const DIMENSIONS = ["queue", "channel", "queue,channel", "segment", "agent"];
/** Days are those of the reader's calendar: one on which the clock is changed has 23 or 25 hours. */
const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone || "";
const FIRST = ["received", "answered", "abandoned", "service_level", "asa_us", "aht_us", "abandon_rate", "rona_rate"];
const FIRST_OF_AGENTS = ["offers", "accepted", "missed", "handled", "aht_us", "occupancy", "ready_us", "not_ready_us"];

/** The beginning of the reader's day, `back` days ago; milliseconds. */
function dayStart(nowMs, back) {
  const at = new Date(nowMs);
  at.setHours(0, 0, 0, 0);
  at.setDate(at.getDate() - back);
  return at.getTime();
}

/** From and to of a span, microseconds; whole days by the reader's clock. */
export function spanOf(span, nowMs) {
  const today = dayStart(nowMs, 0);
  if (span === "today") return { from_us: today * 1000, to_us: Math.round(nowMs * 1000) };
  if (span === "yesterday") return { from_us: dayStart(nowMs, 1) * 1000, to_us: today * 1000 };
  return { from_us: dayStart(nowMs, Number(span) - 1) * 1000, to_us: Math.round(nowMs * 1000) };
}

/** Read a report again whenever what is asked for changes: { loading }, { report } or { error }. */
export function useReport(query) {
  const [state, setState] = useState({ loading: true });
  const [round, setRound] = useState(0);
  useEffect(() => {
    let current = true;
    setState({ loading: true });
    get(`/v1/reports?${query}`, 60_000).then(
      (report) => current && setState({ report }),
      (error) => current && setState({ error: error.message }),
    );
    return () => (current = false);
  }, [query, round]);
  return [state, () => setRound(round + 1)];
}

function cellWords(name, value) {
  if (value === null || value === undefined) return "–";
  if (name.endsWith("_us")) return length(value);
  return typeof value === "number" && /level|rate|occupancy/.test(name) ? share(value) : String(value);
}

/** "14:00" of an interval within a day, "Tue 3 Nov" of a whole one. */
function startWords(us, interval, sameDay) {
  if (interval === "86400") return day(us);
  return sameDay ? clockTime(us) : `${day(us)}, ${clockTime(us)}`;
}

function Table({ report, all, interval, sameDay }) {
  const rows = report.rows || [];
  if (!rows.length) return html`<div class="empty"><p>${t("report_none")}</p></div>`;
  const { by, formulas } = report;
  const wanted = by.includes("agent") ? FIRST_OF_AGENTS : FIRST;
  const names = Object.keys(rows[0]).filter((name) => name !== "start_us" && !by.includes(name));
  const measures = all ? names : wanted.filter((name) => names.includes(name));
  return html`<div class="report-rows" tabindex="0" role="group" aria-label=${t("view_reports")}>
    <table class="report">
      <thead>
        <tr>
          <th scope="col">${t("report_from")}</th>
          ${by.map((name) => html`<th key=${name} scope="col">${t(`by_${name}`)}</th>`)}
          ${measures.map((name) => html`<th key=${name} scope="col" class="number" tabindex="0" title=${formulas[name]}>${word("measure", name).replace(/ us$/, "")}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.slice(0, SHOWN).map(
          (row) => html`<tr>
            <th scope="row">${startWords(row.start_us, interval, sameDay)}</th>
            ${by.map((name) => html`<td key=${name} dir="auto">${(name === "channel" || name === "segment") && row[name] ? word(name, row[name]) : row[name] || "–"}</td>`)}
            ${measures.map((name) => html`<td key=${name} class="number">${cellWords(name, row[name])}</td>`)}
          </tr>`,
        )}
      </tbody>
      <tfoot>
        <tr>
          <th scope="row" colspan=${1 + by.length}>${t("report_total")}</th>
          ${measures.map((name) => html`<td key=${name} class="number">${cellWords(name, report.total?.[name])}</td>`)}
        </tr>
      </tfoot>
    </table>
    <p class="quiet more">${rows.length > SHOWN ? t("report_rows_more", { n: SHOWN }) : t("report_rows", { n: rows.length })}</p>
  </div>`;
}

function Choice({ id, label, value, options, onChange }) {
  return html`<label class="field" for=${id}>
    <span class="quiet">${label}</span>
    <select id=${id} value=${value} onChange=${(event) => onChange(event.target.value)}>
      ${options.map(([key, text]) => html`<option key=${key} value=${key}>${text}</option>`)}
    </select>
  </label>`;
}

/** The file is asked for with the session's token: a plain link would have to carry it in its address. */
async function download(query) {
  const text = await getText(`/v1/reports.csv?${query}`, 60_000);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = "report.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), HOUR_MS / 60);
}

export function Reports({ wall }) {
  const [span, setSpan] = useState("today");
  const [interval, setInterval] = useState("3600");
  const [by, setBy] = useState("queue");
  const [all, setAll] = useState(false);
  const [nowMs, setNowMs] = useState(now() / 1000);
  const { from_us: from, to_us: to } = spanOf(span, nowMs);
  const query = new URLSearchParams({ by, interval_s: interval, from_us: from, to_us: to, zone: ZONE }).toString();
  const [{ loading, report, error }, again] = useReport(query);
  const renewed = (set) => (value) => (setNowMs(now() / 1000), set(value));
  const save = () => download(query).catch((problem) => wall.say("bad", t("refused", { what: t("report_csv"), why: problem.message })));
  const sameDay = span === "today" || span === "yesterday";
  return html`<section class="panel view" data-view="reports" aria-label=${t("view_reports")}>
    <header class="panel-head">
      <${Choice} id="span" label=${t("report_span")} value=${span} options=${SPANS.map((each) => [each, t(`span_${each}`)])} onChange=${renewed(setSpan)} />
      <${Choice} id="interval" label=${t("report_interval")} value=${interval} options=${INTERVALS.map((each) => [each, t(`interval_${each}`)])} onChange=${renewed(setInterval)} />
      <${Choice} id="by" label=${t("report_by")} value=${by} options=${DIMENSIONS.map((each) => [each, t(`by_${each.replace(",", "_")}`)])} onChange=${renewed(setBy)} />
      <label class="check"><input type="checkbox" id="all-measures" checked=${all} onChange=${(event) => setAll(event.target.checked)} /> ${t("report_all")}</label>
      <span class="grow" />
      <button id="csv" onClick=${save}>${t("report_csv")}</button>
    </header>
    ${loading && html`<p class="quiet more" aria-busy="true">${t("loading")}</p>`}
    ${error && html`<p class="problem more" role="alert">${t("load_failed", { why: error })} <button class="link" onClick=${again}>${t("again")}</button></p>`}
    ${report && html`<${Table} report=${report} all=${all} interval=${interval} sameDay=${sameDay} />`}
  </section>`;
}
