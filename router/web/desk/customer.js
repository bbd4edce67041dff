// The right column: who this is, what is known of the matter, earlier contacts, and why I got it.

import { clockTime, day, momentTitle } from "../page/format.js";
import { ChannelIcon, Icon } from "../page/icons.js";
import { getList } from "../page/session.js";
import { t, word } from "../page/texts.js";
import { candidateWords, decisionWords, requirementWords, shortId } from "../page/words.js";
import { html, useEffect, useState } from "../page/view.js";
import { nameOf } from "./model.js";

function Fact({ name, children }) {
  if (children === "" || children === undefined || children === null) return null;
  return html`<div><dt>${name}</dt><dd dir="auto">${children}</dd></div>`;
}

function Attributes({ attributes }) {
  const all = Object.entries(attributes || {});
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

function History({ contact }) {
  const [open, setOpen] = useState(false);
  if (!contact.customer) return null;
  const path = `/v1/contacts?state=closed&limit=20&customer=${encodeURIComponent(contact.customer)}`;
  return html`<details class="card" open=${open} onToggle=${(event) => setOpen(event.target.open)}>
    <summary>${t("history")}</summary>
    ${open &&
    html`<${Loaded}
      path=${path}
      list="contacts"
      empty=${t("history_none")}
      draw=${(items) => html`<ul class="history">
        ${items
          .filter((each) => each.id !== contact.id)
          .map(
            (each) => html`<li key=${each.id} class="line" title=${momentTitle(each.created_at_us)}>
              <${ChannelIcon} channel=${each.channel} />
              <span class="grow">${day(each.created_at_us)}, ${clockTime(each.created_at_us)}</span>
              <span class="quiet">${each.outcome ? t(`outcome_${each.outcome}`) : t(`state_${each.state}`)}</span>
            </li>`,
          )}
      </ul>`}
    />`}
  </details>`;
}

/** The card of the chosen contact's customer. */
export function Customer({ desk, contact, onClose }) {
  if (!contact) return html`<aside class="aside" aria-label=${t("customer")}></aside>`;
  const peer = contact.peer || {};
  return html`<aside class="aside" aria-label=${t("customer")}>
    <button class="icon-button aside-close" aria-label=${t("close")} onClick=${onClose}><${Icon} name="close" /></button>
    <section class="card">
      <h2 class="cut" dir="auto">${nameOf(contact, t("erased"))}</h2>
      ${contact.segment && html`<p><span class="chip">${word("segment", contact.segment)}</span></p>`}
      <dl class="facts">
        <${Fact} name=${t("address")}>${peer.address}<//>
        ${contact.customer && html`<${Fact} name=${t("customer_id")}><span title=${contact.customer}>${shortId(contact.customer)}</span><//>`}
        <${Fact} name=${t("reached")}>${peer.to || contact.entry_point}<//>
        <${Fact} name=${t("arrived")}>${contact.created_at_us ? `${day(contact.created_at_us)}, ${clockTime(contact.created_at_us)}` : ""}<//>
        <${Fact} name=${t("needs")}>${requirementWords(contact.requirements)}<//>
        ${contact.step > 0 && html`<${Fact} name=${t("needs_asked")}>${requirementWords(contact.requirements_asked)}<//>`}
        <${Fact} name=${t("contact_id")}><span title=${contact.id}>${shortId(contact.id)}</span><//>
      </dl>
    </section>
    <${Attributes} attributes=${contact.attributes} />
    <${Why} desk=${desk} contact=${contact} />
    <${History} contact=${contact} />
  </aside>`;
}
