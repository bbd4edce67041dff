// A rule tried: whom it would have moved among the contacts that came in today. Nothing is changed.

import { clockSeconds, clockTime, day, momentTitle, sameDay } from "../page/format.js";
import { ChannelIcon, Mark } from "../page/icons.js";
import { get, post } from "../page/session.js";
import { t, word } from "../page/texts.js";
import { html, useEffect, useState } from "../page/view.js";
import { requirementWords, shortId } from "../page/words.js";

const DRAFT = "contact-router.rule";
const TRIED_MS = 60_000;
const RULE_MOST = 16_384;
const WARNINGS_SHOWN = 5;
const PLACES = ["at_end", "before", "instead_of"];
const EMPTY = { rule: "", place: "at_end", other: "" };

/** What was typed survives a reload; what came of it lasts as long as the page. */
function draft() {
  try {
    return { ...EMPTY, ...JSON.parse(sessionStorage.getItem(DRAFT) || "{}") };
  } catch {
    return EMPTY;
  }
}

/** The rules in force: { loading }, { rules } or { error }. */
function useRules() {
  const [state, setState] = useState({ loading: true });
  const [round, setRound] = useState(0);
  useEffect(() => {
    let current = true;
    setState({ loading: true });
    get("/v1/rules").then(
      ({ rules = [] }) => current && setState({ rules: rules.filter((each) => each.on === "received") }),
      (error) => current && setState({ error: error.message }),
    );
    return () => (current = false);
  }, [round]);
  return [state, () => setRound(round + 1)];
}

/** A finding as { line, column, words, excerpt }: those without an excerpt are given the line as it was typed. */
export function findingParts(finding, text) {
  const [, line, column, words, rest] = /^rule:(\d+):(\d+): ([^\n]*)\n?([\s\S]*)$/.exec(finding) || [];
  if (!line) return { words: finding };
  const typed = text.split("\n")[line - 1] || "";
  return { line, column, words, excerpt: rest || `    ${typed.replaceAll("\t", " ")}\n    ${" ".repeat(column - 1)}^` };
}

function Wrong({ problem, rule }) {
  if (!problem.findings?.length) return html`<p class="problem more" role="alert">${t("try_refused", { why: problem.message })}</p>`;
  return html`<div class="wrong" role="alert">
    <p class="line problem"><${Mark} meaning="bad" /> ${t("try_wrong", { n: problem.findings.length })}</p>
    <ol>
      ${problem.findings.map((each) => findingParts(each, rule)).map(
        ({ line, column, words, excerpt }) => html`<li>
          <p>${line && html`<span class="quiet">${t("try_at", { line, column })}</span> `}${words}</p>
          ${excerpt && html`<pre tabindex="0">${excerpt}</pre>`}
        </li>`,
      )}
    </ol>
  </div>`;
}

function valueWords(verb, value) {
  if (value === null || value === undefined) return "–";
  if (verb === "require") return requirementWords(value);
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function Change({ change: { verb, before, after } }) {
  return html`<li><code>${verb}</code> <span class="was" dir="auto">${valueWords(verb, before)}</span> <span aria-label=${t("try_becomes")} role="img">→</span> <strong dir="auto">${valueWords(verb, after)}</strong></li>`;
}

const named = (rules) => (rules?.length ? rules.join(", ") : t("try_no_rule"));

/** A moment of today by its time, of another day with that. */
const since = (us, toUs) => (sameDay(us, toUs) ? clockTime(us) : `${day(us)}, ${clockTime(us)}`);

function Moved({ contacts, toUs }) {
  return html`<div class="report-rows" tabindex="0" role="group" aria-label=${t("try_moved_ones")}>
    <table class="report moved">
      <thead>
        <tr>
          ${["came", "contact", "decided", "would"].map((name) => html`<th key=${name} scope="col">${t(`try_${name}`)}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${contacts.map(
          (each) => html`<tr key=${each.contact}>
            <td title=${momentTitle(each.at_us)}>${sameDay(each.at_us, toUs) ? clockSeconds(each.at_us) : since(each.at_us, toUs)}</td>
            <td><span class="line"><${ChannelIcon} channel=${each.channel} /><a href=${`#contact=${encodeURIComponent(each.contact)}`} title=${t("try_why", { id: each.contact })}>${shortId(each.contact)}</a></span>${each.segment && html`<span class="quiet">${word("segment", each.segment)}</span>`}</td>
            <td><span class="was">${named(each.before)}</span> <span aria-label=${t("try_becomes")} role="img">→</span> <strong>${named(each.after)}</strong></td>
            <td><ul class="changes">${each.changes.map((change) => html`<${Change} key=${change.verb} change=${change} />`)}</ul></td>
          </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

/** What the figures do not cover, each with its reason. */
function Limits({ found }) {
  const { from_us: from, to_us: to, not_judged: notJudged = [], warnings = [] } = found;
  const said = [
    ...warnings.slice(0, WARNINGS_SHOWN).map((each) => ["attention", each]),
    warnings.length > WARNINGS_SHOWN && ["attention", t("try_warnings_more", { n: warnings.length - WARNINGS_SHOWN })],
    found.trimmed_before_us && ["attention", t("try_trimmed", { since: since(found.trimmed_before_us, to) })],
    found.cut && ["attention", t("try_cut", { since: since(from, to) })],
    ...notJudged.map((each) => ["neutral", t(`try_${each.reason}`, { n: each.contacts, about: each.about || "" })]),
  ].filter(Boolean);
  return said.length > 0 && html`<ul class="limits">${said.map(([meaning, text]) => html`<li class="line"><${Mark} meaning=${meaning} /> <span>${text}</span></li>`)}</ul>`;
}

function Found({ found }) {
  const { from_us: from, to_us: to, contacts = [] } = found;
  const figures = ["judged", "matched", "moved"];
  const isPart = (found.not_judged || []).length > 0;
  return html`<div class="found">
    <p class="quiet">${t("try_since", { since: since(from, to), until: clockTime(to) })}</p>
    <dl class="figures">${figures.map((name) => html`<div key=${name} data-figure=${name}><dt>${t(`try_${name}`)}</dt><dd>${found[name]}</dd></div>`)}</dl>
    <${Limits} found=${found} />
    ${!found.judged && !isPart && html`<div class="empty"><p>${t("try_nobody_came")}</p></div>`}
    ${found.judged > 0 && !found.moved && html`<div class="empty"><${Mark} meaning="neutral" /><p>${t(isPart ? "try_nobody_judged" : "try_nobody")}</p></div>`}
    ${contacts.length > 0 && html`<${Moved} contacts=${contacts} toUs=${to} />`}
    ${found.moved > contacts.length && html`<p class="quiet">${t("try_more", { n: contacts.length, all: found.moved })}</p>`}
  </div>`;
}

function Form({ form, rules, busy, onForm, onTry }) {
  const choose = (other) => {
    const known = new Map(rules.map((each) => [each.name, each.written]));
    // A rule that is to be replaced is changed from what it says now; what somebody typed stays.
    const isTyped = form.rule.trim() && ![...known.values()].includes(form.rule);
    onForm({ other, ...(form.place === "instead_of" && !isTyped ? { rule: known.get(other) || "" } : {}) });
  };
  const submit = (event) => {
    event.preventDefault();
    if (!busy && form.rule.trim()) onTry();
  };
  return html`<form class="try-form" onSubmit=${submit}>
    <label for="rule">${t("try_rule")}</label>
    <textarea
      id="rule"
      rows="6"
      maxlength=${RULE_MOST}
      spellcheck=${false}
      autocapitalize="off"
      autocomplete="off"
      aria-describedby="rule-words"
      placeholder=${'name: bills-first\nwhen: contact.attributes.topic == "bill"\nthen: {queue: billing, head_start: 30s}'}
      value=${form.rule}
      onInput=${(event) => onForm({ rule: event.target.value })}
      onKeyDown=${(event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && submit(event)}
    />
    <div class="try-place">
      <label class="field" for="try-place"><span class="quiet">${t("try_place")}</span>
        <select id="try-place" value=${form.place} onChange=${(event) => onForm({ place: event.target.value, other: "" })}>
          ${PLACES.map((each) => html`<option key=${each} value=${each} disabled=${each !== "at_end" && !rules.length}>${t(`try_place_${each}`)}</option>`)}
        </select>
      </label>
      ${form.place !== "at_end" &&
      html`<select id="try-other" aria-label=${t("try_other")} value=${form.other} onChange=${(event) => choose(event.target.value)}>
        <option value="">${t("try_choose")}</option>
        ${rules.map((each) => html`<option key=${each.name} value=${each.name}>${each.name}</option>`)}
      </select>`}
      <span class="grow" />
      <button class="primary" id="try" disabled=${busy || !form.rule.trim() || (form.place !== "at_end" && !form.other)}>${t(busy ? "try_busy" : "try_do")}</button>
    </div>
    <p class="quiet" id="rule-words">${t("try_words")} <code>contact-router replay</code></p>
  </form>`;
}

/** The form, and below it what came of the last try. */
export function TryRule({ wall }) {
  const [form, setForm] = useState(draft);
  const [state, setState] = useState(wall.tried || {});
  const [{ loading, rules = [], error }, again] = useRules();
  const change = (fields) => {
    const changed = { ...form, ...fields };
    sessionStorage.setItem(DRAFT, JSON.stringify(changed));
    setForm(changed);
  };
  const act = async () => {
    const { rule, place, other } = form;
    setState({ busy: true });
    try {
      wall.tried = { found: await post("/v1/rules:try", { rule, ...(place === "at_end" ? {} : { [place]: other }) }, TRIED_MS) };
    } catch (problem) {
      wall.tried = { problem, rule };
    }
    setState(wall.tried);
  };
  const { busy, found, problem } = state;
  return html`<section class="panel view try" data-view="rules" aria-label=${t("view_rules")}>
    ${loading && html`<p class="quiet more" aria-busy="true">${t("loading")}</p>`}
    ${error && html`<p class="problem more" role="alert">${t("load_failed", { why: error })} <button class="link" onClick=${again}>${t("again")}</button></p>`}
    ${!loading && !error && html`<${Form} form=${form} rules=${rules} busy=${busy} onForm=${change} onTry=${act} />`}
    <p role="status" class="unseen">${busy ? t("try_busy") : found ? t("try_said", found) : ""}</p>
    ${busy && html`<p class="quiet more" aria-busy="true">${t("try_busy")}</p>`}
    ${found && html`<${Found} found=${found} />`}
    ${!busy && !found && !problem && !loading && html`<div class="empty"><p>${t("try_first")}</p></div>`}
    ${problem && html`<${Wrong} problem=${problem} rule=${state.rule} />`}
  </section>`;
}
