// What the rules in force say of one contact, in words. Asking changes nothing.

import { Mark } from "../page/icons.js";
import { post } from "../page/session.js";
import { t, word } from "../page/texts.js";
import { html, useState } from "../page/view.js";

/** What a condition read, part by part: "customer.known is false". */
function reads(condition) {
  const own = Object.entries(condition?.reads || {}).map(([name, value]) => `${name} = ${value}`);
  return [...own, ...(condition?.parts || []).flatMap(reads)];
}

function Verdict({ verdict, verbs }) {
  const { matched, looked_at: asked = true, condition } = verdict;
  const said = matched ? "evaluate_matched" : asked ? "evaluate_not" : "evaluate_skipped";
  const seen = [...new Set(reads(condition))];
  return html`<li class="verdict">
    <${Mark} meaning=${matched ? "good" : "neutral"} />
    <div class="grow">
      <p><strong>${verdict.name}</strong> ${t(said)}</p>
      ${condition?.text && html`<p class="quiet"><code>${condition.text}</code></p>`}
      ${asked && seen.length > 0 && html`<p class="quiet" dir="auto">${t("evaluate_because", { reads: seen.join(", ") })}</p>`}
      ${verbs.length > 0 && html`<p>${t("evaluate_does")}: ${verbs.map((each) => `${each.verb} ${typeof each.value === "object" ? JSON.stringify(each.value) : each.value}`).join(", ")}</p>`}
    </div>
  </li>`;
}

function Answer({ answer }) {
  const { segment = {}, rules = {} } = answer;
  const verdicts = rules.verdicts || [];
  const verbsOf = (name) => (rules.verbs || []).filter((each) => each.rule === name);
  return html`<p><strong>${answer.text}</strong></p>
    <p class="quiet">${t("evaluate_words")}</p>
    <p>${t("segment")}: ${segment.name ? word("segment", segment.name) : "–"} <span class="quiet" dir="auto">${segment.reason || ""}</span></p>
    ${verdicts.length
      ? html`<ol class="verdicts">${verdicts.map((each) => html`<${Verdict} key=${each.name} verdict=${each} verbs=${verbsOf(each.name)} />`)}</ol>`
      : html`<p class="quiet">${t("evaluate_none")}</p>`}
    <p class="quiet">${t("evaluate_replay")}</p>
    <p><a href="#view=rules">${t("try_today")}</a></p>`;
}

/** A button; below it what came out. */
export function Evaluate({ id }) {
  const [{ answer, error, busy }, setState] = useState({});
  const ask = async () => {
    setState({ busy: true });
    try {
      setState({ answer: await post("/v1/rules:evaluate", { contact: id }) });
    } catch (problem) {
      setState({ error: problem.message });
    }
  };
  return html`<section class="actions evaluate" aria-label=${t("act_evaluate")}>
    <button id="evaluate" disabled=${busy} aria-expanded=${answer ? "true" : "false"} onClick=${answer ? () => setState({}) : ask}>${t("act_evaluate")}</button>
    <div role="status">
      ${error && html`<p class="problem">${t("refused", { what: t("act_evaluate"), why: error })}</p>`}
      ${answer && html`<div class="evaluated"><${Answer} answer=${answer} /></div>`}
    </div>
  </section>`;
}
