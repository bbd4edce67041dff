// How the customer is reached: the learned hint with its evidence, what is not permitted, and the week.

import { now } from "../page/clock.js";
import { clockTime, date, day, timeIn, weekday } from "../page/format.js";
import { ChannelIcon, Mark } from "../page/icons.js";
import { has, t, word } from "../page/texts.js";
import { html } from "../page/view.js";
import { Heat, hours } from "./heat.js";
import { useLoaded } from "./loaded.js";

const OTHERS = 3;
const moment = (us) => `${day(us)}, ${clockTime(us)}`;
const address = (text = "") => text.replace(/^\.\./, "…");

/** "Tuesday 9–10" */
const slot = (window, style = "long") => `${weekday(window.weekday || 0, style)} ${hours(window.hour || 0)}`;

/** "74–91 %": the interval, not the point; nobody knows it better than that. */
export function likelihood({ low = 0, high = 0 }) {
  const [from, to] = [low, high].map((each) => Math.round(each * 100));
  return from === to ? `${from} %` : `${from}–${to} %`;
}

/** How many attempts there were in all. */
const tries = (preference) => (preference.channels || []).reduce((sum, each) => sum + (each.attempts || 0), 0);

/** What the recommendation rests on, in words: what was counted, and where, or that little is known. */
export function evidenceWords(window, preference) {
  const counted = { successes: window.successes || 0, attempts: window.attempts || 0, n: window.attempts || 0 };
  const said = [];
  if (window.level === "segment" || !has(`evidence_${window.level}`)) {
    const n = tries(preference);
    said.push(n ? t("evidence_little", { n }) : t("evidence_none"));
  } else {
    const where = { address: address(window.address), channel: word("channel", window.channel) };
    said.push(t(`evidence_${window.level}`, { ...counted, ...where }));
  }
  if (window.last_success_at_us) said.push(t("evidence_last", { day: date(window.last_success_at_us) }));
  const words = said.join(", ");
  return preference.inbound ? `${words} · ${t("evidence_inbound", { n: preference.inbound })}` : words;
}

function Interval({ window }) {
  const { low = 0, high = 0 } = window;
  return html`<span class="interval" aria-hidden="true"><span style=${{ left: `${low * 100}%`, width: `${Math.max(2, (high - low) * 100)}%` }} /></span>`;
}

function Best({ window, preference }) {
  const isKnown = window.level && window.level !== "segment";
  // The hours stay on one line, whatever the width.
  const values = { channel: word("channel", window.channel), slot: slot(window).replace("–", "\u2060–\u2060"), address: address(window.address) };
  return html`<p class="hint-title"><${ChannelIcon} channel=${window.channel} /><span>${t(isKnown ? "hint_best" : "hint_similar", values)}</span></p>
    <p class=${isKnown ? "" : "hint-little"}>${!isKnown && html`<${Mark} meaning="neutral" /> `}${evidenceWords(window, preference)}</p>
    <p class="line"><span>${t("hint_likelihood", { share: likelihood(window) })}</span><${Interval} window=${window} /></p>
    ${window.start_us > 0 && html`<p class="quiet">${t("hint_next", { moment: moment(window.start_us) })}</p>`}`;
}

function Others({ windows, best }) {
  const seen = new Set(best ? [`${best.channel}${best.weekday || 0}/${best.hour || 0}`] : []);
  const others = (windows || []).filter((each) => {
    const key = `${each.channel}${each.weekday || 0}/${each.hour || 0}`;
    return !seen.has(key) && seen.add(key);
  });
  if (!others.length) return null;
  return html`<h4>${t("hint_others")}</h4>
    <ul class="windows">
      ${others.slice(0, OTHERS).map(
        (each) => html`<li class="line" title=${each.text || ""}>
          <${ChannelIcon} channel=${each.channel} /><span class="grow">${slot(each, "short")} <span class="quiet">${address(each.address)}</span></span>
          <span class="quiet time">${likelihood(each)}</span>
        </li>`,
      )}
    </ul>`;
}

function Blocked({ blocked }) {
  if (!blocked?.length) return null;
  return html`<h4>${t("blocked")}</h4>
    <ul class="windows">
      ${blocked.map((each) => {
        const reason = has(`blocked_${each.reason}`) ? t(`blocked_${each.reason}`) : each.text || each.reason;
        return html`<li class="blocked" title=${each.text || ""}>
          <${Mark} meaning=${each.next_at_us ? "attention" : "bad"} />
          <span>
            <strong>${each.channel ? word("channel", each.channel) : t("every_channel")}</strong>${each.address ? ` ${address(each.address)}` : ""}: ${reason}${" "}
            <span class="quiet">${each.next_at_us ? t("blocked_until", { moment: moment(each.next_at_us) }) : t("blocked_for_good")}</span>
          </span>
        </li>`;
      })}
    </ul>`;
}

function Zone({ zone }) {
  const time = zone && timeIn(zone, now());
  return html`<p class="quiet">${time ? t("hint_zone", { zone, time }) : t("hint_zone_unknown")}</p>`;
}

/** Nothing at all is known: no attempts, no contacts of theirs. Said, not left blank. */
const isBlank = (preference) => !tries(preference) && !preference.inbound;

function Known({ preference }) {
  const { best, windows, blocked, channels = [], next_allowed_at_us: next } = preference;
  return html`${best
      ? html`<${Best} window=${best} preference=${preference} />`
      : html`<p class="hint-title"><${Mark} meaning="bad" /><span>${t("hint_nowhere")}</span></p>
          ${next > 0 && html`<p>${t("hint_allowed", { moment: moment(next) })}</p>`}
          ${isBlank(preference) && html`<p class="hint-little"><${Mark} meaning="neutral" /> ${t("hint_blank")}</p>`}`}
    <${Others} windows=${windows} best=${best} />
    <${Blocked} blocked=${blocked} />
    ${channels.length > 0 && html`<${Heat} channels=${channels} best=${best} /><${Zone} zone=${preference.zone} />`}`;
}

/** The card. What it shows comes later than the conversation, and the conversation does not wait. */
export function Reach({ contact }) {
  const [{ answer, error, missing, loading }, again] = useLoaded(`/v1/customers/${encodeURIComponent(contact.customer)}/preference`);
  return html`<section class="card reach" aria-label=${t("reach")} aria-busy=${loading ? "true" : undefined}>
    <h3>${t("reach")}${answer?.confidence && !isBlank(answer) && html` <span class="quiet">· ${t(`confidence_${answer.confidence}`)}</span>`}</h3>
    ${loading && html`<div class="waiting-lines"><p class="unseen">${t("loading")}</p><span></span><span></span><span class="tall"></span></div>`}
    ${answer && html`<${Known} preference=${answer} />`}
    ${missing && !answer && html`<p class="hint-little"><${Mark} meaning="neutral" /> ${t("hint_blank")}</p>`}
    ${error && !missing && html`<p class="problem">${t("load_failed", { why: error })} <button class="link" onClick=${again}>${t("again")}</button></p>`}
  </section>`;
}
