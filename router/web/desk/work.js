// My work: offers on top, then contacts by who waits for me, parked ones folded.

import { now, Since, Until, useBeat } from "../page/clock.js";
import { ChannelIcon, Mark, Ring } from "../page/icons.js";
import { countdown } from "../page/format.js";
import { t, word } from "../page/texts.js";
import { requirementWords } from "../page/words.js";
import { html, useEffect, useState } from "../page/view.js";
import { nameOf, rows } from "./model.js";

function Offer({ desk, offer, first }) {
  const time = useBeat();
  const contact = desk.known.contacts.get(offer.contact) || { id: offer.contact };
  const whole = Math.max(1, offer.deadline_at_us - offer.offered_at_us);
  const left = offer.deadline_at_us ? (offer.deadline_at_us - time) / whole : 1;
  const busy = desk.isBusy("accept", offer.id) || desk.isBusy("reject", offer.id);
  const said = [word("channel", offer.channel), offer.queue].join(" · ");
  return html`<li class="offer" data-reservation=${offer.id}>
    <div class="offer-head">
      <${Ring} left=${Math.min(1, Math.max(0, left))}>${offer.deadline_at_us ? Math.ceil(Math.max(0, offer.deadline_at_us - time) / 1e6) : ""}<//>
      <div class="offer-what">
        <strong class="cut" dir="auto">${nameOf(contact, t("erased"))}</strong>
        <span class="line"><${ChannelIcon} channel=${offer.channel} /> <span class="cut">${said}</span></span>
        <span class="line quiet">
          ${contact.consult_of ? t("offer_consult") : html`${t("waited")} <${Since} at=${contact.visit_at_us || offer.offered_at_us} />`}
          ${Object.keys(contact.requirements || {}).length > 0 && html`<span class="cut">· ${requirementWords(contact.requirements)}</span>`}
        </span>
      </div>
    </div>
    <div class="offer-acts">
      <button class="primary" disabled=${busy} onClick=${() => desk.accept(offer)}>${t("accept")} ${first && html`<kbd>A</kbd>`}</button>
      <button disabled=${busy} onClick=${() => desk.act("reject", { reservation: offer.id })}>${t("reject")} ${first && html`<kbd>X</kbd>`}</button>
    </div>
  </li>`;
}

/** One short phrase: what this contact's state asks of me. */
function stateWords({ contact, reservation, since, talking }) {
  if (!reservation) return t("row_parked");
  if (reservation.state === "wrapping") return t("row_wrapping");
  if (reservation.state === "suspended") return t("row_suspended");
  if (reservation.state === "accepted" || reservation.state === "connecting") return t("row_connecting");
  if (reservation.conference) return t("row_conference");
  if (contact.consult) return t("row_consulting");
  if (reservation.hold_at_us) return t("row_held");
  if (talking) return t("row_talking");
  return since ? t("row_waits") : t("row_theirs");
}

function RowTime({ row }) {
  const { contact, reservation, since } = row;
  if (reservation?.state === "wrapping") return html`<${Until} at=${reservation.deadline_at_us} />`;
  if (!reservation) return html`<${Since} at=${contact.parked_at_us} />`;
  return html`<${Since} at=${since > 1 ? since : contact.last_message_at_us || reservation.accepted_at_us} />`;
}

function rowMeaning({ reservation, since, talking }) {
  if (!reservation) return { meaning: "neutral" };
  if (reservation.state === "wrapping") return { meaning: "attention", shape: "still" };
  if (talking) return { meaning: "good" };
  return since ? { meaning: "attention" } : { meaning: "neutral" };
}

function lastText(desk, contact) {
  const messages = desk.known.messages.get(contact.id) || [];
  const draft = desk.drafts.read(contact.id);
  if (draft) return html`<em>${t("draft")}</em> ${draft.slice(0, 80)}`;
  const last = messages[messages.length - 1];
  if (!last) return contact.queue || contact.entry_point || "";
  const text = last.erased ? t("erased") : (last.text || last.subject || "").slice(0, 120);
  return last.from === "agent" ? `${t("you")}: ${text}` : text;
}

function Row({ desk, row, number }) {
  const { contact } = row;
  const chosen = desk.view.chosen === contact.id;
  return html`<li>
    <button class="row" data-contact=${contact.id} aria-current=${chosen ? "true" : undefined} onClick=${() => desk.choose(contact.id)}>
      <span class="line">
        <${ChannelIcon} channel=${contact.channel} />
        <strong class="cut grow" dir="auto">${nameOf(contact, t("erased"))}</strong>
        <${RowTime} row=${row} />
      </span>
      <span class="line quiet cut-line" dir="auto">${lastText(desk, contact)}</span>
      <span class="line row-state">
        <${Mark} ...${rowMeaning(row)} />
        <span class="grow">${stateWords(row)}</span>
        ${number <= 9 && html`<kbd>${number}</kbd>`}
      </span>
    </button>
  </li>`;
}

function Group({ desk, title, list, from, name }) {
  if (!list.length) return null;
  return html`<section aria-label=${title} data-group=${name}>
    <h2 class="group">${title} <span class="quiet">${list.length}</span></h2>
    <ul>
      ${list.map((row, place) => html`<${Row} key=${row.contact.id} desk=${desk} row=${row} number=${from + place + 1} />`)}
    </ul>
  </section>`;
}

function Nothing({ desk }) {
  const { presence, ready_at_us: ready } = desk.known.agent;
  const key = presence === "ready" ? "nothing_ready" : "nothing_not_ready";
  return html`<div class="empty">
    <${Mark} ...${presence === "ready" ? { meaning: "good" } : { meaning: "neutral" }} />
    <p>${t(key)}</p>
    ${presence === "ready" && ready > now() && html`<p class="quiet">${t("ramp", { time: countdown(ready - now()) })}</p>`}
  </div>`;
}

/** The left column. */
export function Work({ desk, offers, groups }) {
  const parkedChosen = groups.parked.some((row) => row.contact.id === desk.view.chosen);
  const [folded, setFolded] = useState(true);
  useEffect(() => {
    if (parkedChosen) setFolded(false);
  }, [parkedChosen]);
  const { mine, theirs, wrapping, parked } = groups;
  const empty = !offers.length && !rows(groups).length;
  return html`<nav class="work" aria-label=${t("work")}>
    ${offers.length > 0 &&
    html`<section class="offers" aria-label=${t("offers")}>
      <h2 class="group">${t("offers")} <span class="quiet">${offers.length}</span></h2>
      <ul>
        ${offers.map((offer, place) => html`<${Offer} key=${offer.id} desk=${desk} offer=${offer} first=${place === 0} />`)}
      </ul>
    </section>`}
    ${empty && html`<${Nothing} desk=${desk} />`}
    <${Group} desk=${desk} name="mine" title=${t("group_mine")} list=${mine} from=${0} />
    <${Group} desk=${desk} name="theirs" title=${t("group_theirs")} list=${theirs} from=${mine.length} />
    <${Group} desk=${desk} name="wrapping" title=${t("group_wrapping")} list=${wrapping} from=${mine.length + theirs.length} />
    ${parked.length > 0 &&
    html`<details class="parked" open=${!folded} onToggle=${(event) => setFolded(!event.target.open)}>
      <summary><h2 class="group">${t("group_parked")} <span class="quiet">${parked.length}</span></h2></summary>
      <ul>
        ${parked.map((row, place) => html`<${Row} key=${row.contact.id} desk=${desk} row=${row} number=${mine.length + theirs.length + wrapping.length + place + 1} />`)}
      </ul>
    </details>`}
  </nav>`;
}
