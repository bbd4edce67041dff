// The right column: who this is, what is known of the matter, earlier contacts, and why I got it.

import { clockTime, date, day, momentTitle } from "../page/format.js";
import { ChannelIcon, Icon, Mark } from "../page/icons.js";
import { getList } from "../page/session.js";
import { t, word } from "../page/texts.js";
import { candidateWords, decisionWords, requirementWords, shortId } from "../page/words.js";
import { html, useEffect, useState } from "../page/view.js";
import { useLoaded } from "./loaded.js";
import { nameOf } from "./model.js";
import { NOTE, Note } from "./note.js";
import { Reach } from "./reach.js";

function Fact({ name, children }) {
  if (children === "" || children === undefined || children === null) return null;
  return html`<div><dt>${name}</dt><dd dir="auto">${children}</dd></div>`;
}

function Attributes({ attributes }) {
  const all = Object.entries(attributes || {}).filter(([name]) => name !== NOTE);
  if (!all.length) return null;
  return html`<section class="card">
    <h3>${t("attributes")}</h3>
    <dl class="facts">
      ${all.map(([name, value]) => html`<${Fact} key=${name} name=${name}>${typeof value === "object" ? JSON.stringify(value) : String(value)}<//>`)}
    </dl>
  </section>`;
}

/** Loads when it is opened; says when there is nothing, and when it could not. */
function Loaded({ path, list, empty, draw }) {
  const [state, setState] = useState({ loading: true });
  const load = () => {
    setState({ loading: true });
    getList(path, list).then(
      (items) => setState({ items }),
      (error) => setState({ error: error.message }),
    );
  };
  useEffect(load, [path]);
  if (state.loading) return html`<p class="quiet" aria-busy="true">${t("loading")}</p>`;
  if (state.error) {
    return html`<p class="problem">${t("load_failed", { why: state.error })} <button class="link" onClick=${load}>${t("again")}</button></p>`;
  }
  return state.items.length ? draw(state.items) : html`<p class="quiet">${empty}</p>`;
}

function Decision({ desk, row }) {
  const decision = row.decision || row;
  const at = row.at_us || 0;
  const nameOfAgent = (id) => desk.agentName(id);
  const candidates = [decision.winner, ...(decision.runners_up || [])];
  const named = (id) => (decision.edge === "agent" ? shortId(id) : nameOfAgent(id));
  return html`<div class="decision">
    <p class="quiet time">${at ? `${day(at)}, ${clockTime(at)}` : ""}</p>
    ${decisionWords(decision, at, nameOfAgent).map((each) => html`<p>${each}</p>`)}
    ${candidates.length > 1 &&
    html`<ol class="candidates">
      ${candidates.map((each, place) => html`<li key=${each.id} class=${place ? "" : "winner"}><strong>${named(each.id)}</strong> <span class="quiet">${candidateWords(each, at)}</span></li>`)}
    </ol>`}
  </div>`;
}

function Why({ desk, contact }) {
  const [open, setOpen] = useState(false);
  const path = `/v1/contacts/${encodeURIComponent(contact.id)}/decisions`;
  return html`<details class="card" open=${open} onToggle=${(event) => setOpen(event.target.open)}>
    <summary id="why">${t("why")} <kbd>Y</kbd></summary>
    ${open &&
    html`<${Loaded}
      path=${path}
      list="decisions"
      empty=${t("why_none")}
      draw=${(items) => [...items].reverse().map((row, place) => html`<${Decision} key=${place} desk=${desk} row=${row} />`)}
    />`}
  </details>`;
}

/** Where a statement holds: "SMS, marketing, …4242", or everywhere. */
function scope({ channel, purpose, address }, customer) {
  const known = (customer.identities || []).find((each) => each.hash === address);
  const parts = [channel && word("channel", channel), purpose && word("purpose", purpose), known && (known.label || known.address)];
  return parts.filter(Boolean).join(", ");
}

function Statement({ meaning, words, said }) {
  return html`<li class="blocked" title=${momentTitle(said.at_us)}>
    <${Mark} meaning=${meaning} />
    <span>${words} <span class="quiet">${date(said.at_us)}${said.source ? `, ${said.source}` : ""}</span></span>
  </li>`;
}

/** What the customer said about being contacted. Blocks come first: they count whatever else was said. */
function Consent({ customer }) {
  const blocks = customer.do_not_contact || [];
  const consents = [...(customer.consents || [])].sort((a, b) => b.at_us - a.at_us);
  return html`<section class="card" aria-label=${t("consent")}>
    <h3>${t("consent")}</h3>
    ${!blocks.length && !consents.length && html`<p class="quiet">${t("consent_none")}</p>`}
    <ul class="windows">
      ${blocks.map((each) => html`<${Statement} meaning="bad" words=${t("consent_blocked", { scope: scope(each, customer) || t("every_channel") })} said=${each} />`)}
      ${consents.map((each) => html`<${Statement} meaning=${each.state === "given" ? "good" : "bad"} words=${t(`consent_${each.state}`, { scope: scope(each, customer) || t("every_channel") })} said=${each} />`)}
    </ul>
  </section>`;
}

function PastContact({ desk, past }) {
  const ended = past.outcome ? t(`outcome_${past.outcome}`) : t(`state_${past.state}`);
  const more = [past.disposition && past.disposition.replaceAll("_", " "), past.agent && desk.agentName(past.agent)].filter(Boolean);
  return html`<li class="line" title=${momentTitle(past.created_at_us)}>
    <${ChannelIcon} channel=${past.channel} />
    <span class="grow">
      <span class="line"><span class="grow">${date(past.created_at_us)}, ${clockTime(past.created_at_us)}</span><span class=${past.state === "closed" ? "quiet" : "attention"}>${ended}</span></span>
      ${more.length > 0 && html`<span class="quiet cut-line">${more.join(" · ")}</span>`}
    </span>
  </li>`;
}

/** The last contacts, whoever had them; open ones among them are marked. */
function History({ desk, contact, customer }) {
  const [{ answer, error, missing, loading }, again] = useLoaded(`/v1/customers/${encodeURIComponent(contact.customer)}/contacts?limit=10`);
  const others = (answer?.contacts || []).filter((each) => each.id !== contact.id);
  return html`<section class="card" aria-label=${t("history")}>
    <h3>${t("history")}${customer?.contacts > 0 && html` <span class="quiet">· ${t("history_count", { n: customer.contacts })}</span>`}</h3>
    ${loading && html`<p class="quiet" aria-busy="true">${t("loading")}</p>`}
    ${error && !missing && html`<p class="problem">${t("load_failed", { why: error })} <button class="link" onClick=${again}>${t("again")}</button></p>`}
    ${(answer || missing) && !others.length && html`<p class="quiet">${t("history_none")}</p>`}
    ${others.length > 0 && html`<ul class="history">${others.map((each) => html`<${PastContact} key=${each.id} desk=${desk} past=${each} />`)}</ul>`}
  </section>`;
}

/** Who it is: the contact at once, the customer when they are loaded. */
function Who({ contact, customer }) {
  const peer = contact.peer || {};
  const name = customer?.name || nameOf(contact, t("erased"));
  const created = contact.created_at_us;
  return html`<section class="card">
    <h2 class="cut" dir="auto">${name}</h2>
    ${contact.segment &&
    html`<p class="segment"><span class="chip">${word("segment", contact.segment)}</span>${contact.segment_reason && html` <span class="quiet" dir="auto">${t("segment_because", { reason: contact.segment_reason })}</span>`}</p>`}
    <dl class="facts">
      <${Fact} name=${t("address")}>${peer.address}<//>
      ${contact.customer && html`<${Fact} name=${t("customer_id")}><span title=${contact.customer}>${shortId(contact.customer)}</span><//>`}
      <${Fact} name=${t("language")}>${customer?.language}<//>
      <${Fact} name=${t("reached")}>${peer.to || contact.entry_point}<//>
      <${Fact} name=${t("arrived")}>${created ? `${day(created)}, ${clockTime(created)}` : ""}<//>
      <${Fact} name=${t("needs")}>${requirementWords(contact.requirements)}<//>
      ${contact.step > 0 && html`<${Fact} name=${t("needs_asked")}>${requirementWords(contact.requirements_asked)}<//>`}
      <${Fact} name=${t("contact_id")}><span title=${contact.id}>${shortId(contact.id)}</span><//>
    </dl>
  </section>`;
}

/** The card of the chosen contact's customer. */
export function Customer({ desk, contact, onClose }) {
  const path = contact?.customer ? `/v1/customers/${encodeURIComponent(contact.customer)}` : "";
  const [{ answer: customer, error, missing }, again] = useLoaded(path);
  if (!contact) return html`<aside class="aside" aria-label=${t("customer")}></aside>`;
  return html`<aside class="aside" aria-label=${t("customer")}>
    <button class="icon-button aside-close" aria-label=${t("close")} onClick=${onClose}><${Icon} name="close" /></button>
    <${Who} contact=${contact} customer=${customer} />
    <${Note} key=${`note-${contact.id}`} desk=${desk} contact=${contact} />
    ${path && html`<${Reach} contact=${contact} />`}
    ${customer && html`<${Consent} customer=${customer} />`}
    ${path && error && !missing && html`<section class="card"><p class="problem">${t("load_failed", { why: error })} <button class="link" onClick=${again}>${t("again")}</button></p></section>`}
    <${Attributes} attributes=${{ ...customer?.attributes, ...contact.attributes }} />
    <${Why} desk=${desk} contact=${contact} />
    ${path && html`<${History} desk=${desk} contact=${contact} customer=${customer} />`}
  </aside>`;
}
