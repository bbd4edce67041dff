// One contact's life as a timeline, with each decision in words.

import { clockSeconds, length, momentTitle } from "../page/format.js";
import { ChannelIcon, Mark } from "../page/icons.js";
import { get, getList } from "../page/session.js";
import { t, word } from "../page/texts.js";
import { candidateWords, decisionWords, eventMeaning, eventWords, isTold, requirementWords, shortId } from "../page/words.js";
import { html, useEffect, useState } from "../page/view.js";
import { ContactActions } from "./actions.js";
import { Evaluate } from "./evaluate.js";
import { Due } from "./due.js";
import { Listen } from "./listen.js";

/** Read the contact, its events and its decisions again whenever the board shows it changed. */
function useLife(wall, id) {
  const live = wall.board.contacts.get(id);
  const [life, setLife] = useState({ loading: true });
  const [round, setRound] = useState(0);
  const path = `/v1/contacts/${encodeURIComponent(id)}`;
  useEffect(() => {
    let current = true;
    Promise.all([get(path), getList(`${path}/events?limit=500`, "events"), getList(`${path}/decisions?limit=100`, "decisions")]).then(
      ([contact, items, decisions]) => current && setLife({ contact, events: items.map((each) => each.event).filter(isTold), decisions }),
      (error) => current && setLife((before) => ({ ...before, loading: false, error: error.message })),
    );
    return () => (current = false);
  }, [id, live, round]);
  return [{ ...life, live }, () => setRound(round + 1)];
}

function Decision({ decision, atUs, nameOf }) {
  const candidates = [decision.winner, ...(decision.runners_up || [])];
  const named = (id) => (decision.edge === "agent" ? shortId(id) : nameOf(id));
  return html`<details class="decision">
    <summary>${t("why_decision")}</summary>
    ${decisionWords(decision, atUs, nameOf).map((each) => html`<p>${each}</p>`)}
    ${candidates.length > 1 &&
    html`<ol class="candidates">
      ${candidates.map((each, place) => html`<li key=${each.id} class=${place ? "" : "winner"}><strong>${named(each.id)}</strong> <span class="quiet">${candidateWords(each, atUs)}</span></li>`)}
    </ol>`}
  </details>`;
}

function Timeline({ events, decisions, nameOf }) {
  // Decisions stand in the offers' events; the rows of their own outlive a trimmed log.
  const kept = new Map(decisions.map((row) => [row.reservation, row]));
  let before = events[0]?.at_us || 0;
  return html`<ol class="timeline">
    ${events.map((event, place) => {
      const gap = event.at_us - before;
      before = event.at_us;
      const row = event.decision || kept.get(event.type === "ContactOffered" ? event.reservation : "")?.decision;
      return html`<li key=${place} data-event=${event.type}>
        <${Mark} meaning=${eventMeaning(event)} />
        <div class="grow">
          <p>${eventWords(event, nameOf)}</p>
          <p class="quiet time" title=${momentTitle(event.at_us)}>${clockSeconds(event.at_us)}${gap >= 1e6 ? ` · ${t("after", { time: length(gap) })}` : ""}</p>
          ${row && html`<${Decision} decision=${row} atUs=${event.at_us} nameOf=${nameOf} />`}
        </div>
      </li>`;
    })}
  </ol>`;
}

/** Is there something to hear? */
function isCall(wall, contact) {
  return (wall.board.directory.channels || []).some((each) => each.name === contact.channel && each.media);
}

/** The contact as it stands, what can be done, and how it came to be there. */
export function Life({ wall, id }) {
  const [{ contact, events, decisions, error, loading, live }, again] = useLife(wall, id);
  const nameOf = (agent) => wall.board.agents.get(agent)?.name || agent;
  if (loading) return html`<p class="quiet drill-words" aria-busy="true">${t("loading")}</p>`;
  if (!contact) return html`<p class="problem drill-words">${t("load_failed", { why: error })} <button class="link" onClick=${again}>${t("again")}</button></p>`;
  const now = { ...contact, ...(live || {}) };
  return html`<div class="life">
    <dl class="facts drill-words">
      <div><dt>${t("state")}</dt><dd>${now.outcome ? t(`outcome_${now.outcome}`) : t(`state_${now.state}`)}${now.agent ? ` · ${nameOf(now.agent)}` : ""}</dd></div>
      <div><dt>${t("channel")}</dt><dd class="line"><${ChannelIcon} channel=${now.channel} /> ${word("channel", now.channel)}</dd></div>
      <div><dt>${t("queue_column")}</dt><dd>${now.queue || "–"}</dd></div>
      ${(now.state === "queued" || now.state === "offered") && html`<div><dt>${t("key")}</dt><dd><${Due} contact=${now} /></dd></div>`}
      <div><dt>${t("needs")}</dt><dd>${requirementWords(now.requirements)}</dd></div>
      ${now.segment && html`<div><dt>${t("segment")}</dt><dd>${word("segment", now.segment)}${now.segment_reason && html` <span class="quiet" dir="auto">${t("segment_because", { reason: now.segment_reason })}</span>`}</dd></div>`}
      ${now.watched && html`<div><dt>${t("watched_contacts")}</dt><dd>${t(now.watched_for === "customer" ? "watched_customer" : "watched_contact")}</dd></div>`}
      ${now.peer?.name && html`<div><dt>${t("customer")}</dt><dd dir="auto">${now.peer.name}</dd></div>`}
    </dl>
    ${now.state !== "closed" && html`<${ContactActions} wall=${wall} contact=${now} />`}
    ${now.state !== "closed" && html`<${Evaluate} id=${id} />`}
    ${now.state === "active" && isCall(wall, now) && !now.consult_of && html`<${Listen} wall=${wall} contact=${now} again=${again} />`}
    <h3 class="drill-words">${t("life")}</h3>
    ${events.length ? html`<${Timeline} events=${events} decisions=${decisions} nameOf=${nameOf} />` : html`<p class="quiet drill-words">${t("life_none")}</p>`}
  </div>`;
}
