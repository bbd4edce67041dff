// The right side while nothing is opened: what needs a supervisor, watched contacts, and what just happened.

import { now, Since, useBeat } from "../page/clock.js";
import { clockSeconds, length } from "../page/format.js";
import { ChannelIcon, Mark } from "../page/icons.js";
import { t, word } from "../page/texts.js";
import { eventMeaning, eventWords, shortId } from "../page/words.js";
import { html, memo } from "../page/view.js";
import { attention } from "./model.js";

function Alarm({ wall, alarm }) {
  const { values, text, meaning, to } = alarm;
  const filled = { ...values, wait: values.since ? length(now() - values.since) : "", channel: values.channel ? word("channel", values.channel) : "" };
  const body = html`<${Mark} meaning=${meaning} />
    <span class="grow"><strong>${t(text, filled)}</strong><span class="quiet">${t(`${text}_do`, filled)}</span></span>`;
  return html`<li>${to ? html`<button class="alarm" onClick=${() => wall.go(to)}>${body}</button>` : html`<div class="alarm">${body}</div>`}</li>`;
}

function Alarms({ wall }) {
  useBeat();
  const found = attention(wall.board, now());
  return html`<section class="side-section">
    <h2>${t("attention")} <span class="quiet">${found.length || ""}</span></h2>
    ${found.length
      ? html`<ul class="attention-list">${found.slice(0, 12).map((alarm) => html`<${Alarm} key=${alarm.key} wall=${wall} alarm=${alarm} />`)}</ul>`
      : html`<p class="calm"><${Mark} meaning="good" /> ${t("all_well")}</p>`}
    ${found.length > 12 && html`<p class="quiet">${t("more_alarms", { n: found.length - 12 })}</p>`}
  </section>`;
}

/** Why it stands here: its customer is watched, a rule says so, or what is known of it (segment, with the reason). */
function watchedFor(contact) {
  const segment = contact.segment && word("segment", contact.segment);
  const because = segment && contact.segment_reason ? t("segment_because", { reason: contact.segment_reason }) : "";
  const rule = (contact.watched_for || "").startsWith("rule ") && contact.watched_for.slice("rule ".length);
  return [contact.watched_for === "customer" && t("watched_customer"), rule && t("watched_rule", { rule }), segment && [segment, because].filter(Boolean).join(" ")].filter(Boolean).join(" · ");
}

function Watched({ wall }) {
  const watched = [...wall.board.contacts.values()].filter((each) => each.watched);
  if (!watched.length) return null;
  watched.sort((a, b) => (a.visit_at_us || a.created_at_us || 0) - (b.visit_at_us || b.created_at_us || 0));
  return html`<section class="side-section" aria-label=${t("watched_contacts")}>
    <h2>${t("watched_contacts")} <span class="quiet">${watched.length}</span></h2>
    <ul>
      ${watched.slice(0, 20).map(
        (each) => html`<li key=${each.id}>
          <button class="alarm" data-watched=${each.id} onClick=${() => wall.go({ contact: each.id })}>
            <${ChannelIcon} channel=${each.channel} />
            <span class="grow">
              <strong class="line"><span class="cut grow" title=${each.id}>${shortId(each.id)}</span><${Since} at=${each.visit_at_us || each.created_at_us} /></strong>
              <span class="quiet">${t(`state_${each.state}`)}${each.queue ? ` · ${each.queue}` : ""}</span>
              <span class="quiet" dir="auto">${watchedFor(each)}</span>
            </span>
          </button>
        </li>`,
      )}
    </ul>
    ${watched.length > 20 && html`<p class="quiet">${t("more_alarms", { n: watched.length - 20 })}</p>`}
  </section>`;
}

/** One line of what just happened; opens its contact. */
const Line = memo(function Line({ event, wall }) {
  const nameOf = (id) => wall.board.agents.get(id)?.name || id;
  const open = event.contact ? () => wall.go({ contact: event.contact }) : event.agent ? () => wall.go({ agent: event.agent }) : undefined;
  return html`<li>
    <button class="log-line" onClick=${open} disabled=${!open}>
      <span class="quiet time">${clockSeconds(event.at_us)}</span>
      <${Mark} meaning=${eventMeaning(event)} />
      <span class="cut grow">${eventWords(event, nameOf)}</span>
    </button>
  </li>`;
});

export function Attention({ wall }) {
  const { log } = wall.board;
  return html`<${Alarms} wall=${wall} />
    <${Watched} wall=${wall} />
    <section class="side-section log">
      <h2>${t("just_now")}</h2>
      ${log.length
        ? html`<ul>${log.map((event, place) => html`<${Line} key=${`${event.at_us}${event.type}${event.reservation || event.contact || event.agent || place}`} event=${event} wall=${wall} />`)}</ul>`
        : html`<p class="quiet">${t("nothing_happened")}</p>`}
    </section>`;
}
