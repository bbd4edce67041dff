// What was opened: a queue's line in its order, one agent, or one contact's life.

import { Since } from "../page/clock.js";
import { ChannelIcon, Icon, Mark, presenceMark } from "../page/icons.js";
import { t, word } from "../page/texts.js";
import { presenceWords, requirementWords, shortId } from "../page/words.js";
import { html, memo, useLayoutEffect, useRef } from "../page/view.js";
import { AgentActions } from "./actions.js";
import { Life } from "./life.js";
import { Due } from "./due.js";
import { Pausing } from "./pausing.js";
import { Rows } from "./rows.js";

const LINE_HEIGHT = 60;

function PanelHead({ title, onBack, children }) {
  const own = useRef(null);
  useLayoutEffect(() => own.current.focus(), []);
  return html`<header class="drill-head">
    <button ref=${own} class="icon-button" aria-label=${t("back")} title=${`${t("back")} (Esc)`} onClick=${onBack}><${Icon} name="back" /></button>
    <h2 class="cut grow">${title}</h2>
    ${children}
  </header>`;
}

const Waiting = memo(function Waiting({ contact, place, wall }) {
  return html`<button class="contact-line" data-contact=${contact.id} onClick=${() => wall.go({ contact: contact.id })}>
    <span class="place quiet">${place}</span>
    <span class="grow">
      <span class="line"><${ChannelIcon} channel=${contact.channel} /><strong class="cut grow" title=${contact.id}>${shortId(contact.id)}</strong><${Since} at=${contact.visit_at_us} /></span>
      <span class="line quiet"><${Due} contact=${contact} /><span class="cut grow">· ${contact.state === "offered" ? t("state_offered") : requirementWords(contact.requirements)}</span></span>
    </span>
  </button>`;
});

function QueuePanel({ wall, id }) {
  const { board } = wall;
  const queue = board.queues.get(id);
  const list = board.waiting.get(id) || [];
  if (!queue) return html`<${PanelHead} title=${id} onBack=${() => wall.go({})} /><div class="empty"><p>${t("no_queue")}</p></div>`;
  return html`<${PanelHead} title=${id} onBack=${() => wall.go({})}>
      <span class="quiet">${queue.open === false ? t("queue_closed") : t("queue_open")}</span>
    <//>
    <p class="drill-words quiet">${t("queue_words", { n: queue.waiting || 0, ready: queue.agents_ready || 0, active: queue.active || 0 })}</p>
    ${list.length
      ? html`<p class="drill-words quiet">${t("order_words")}</p>
          <${Rows}
            className="line-list"
            label=${t("contacts_in_order")}
            items=${list.map((contact, place) => ({ contact, place: place + 1 }))}
            height=${LINE_HEIGHT}
            keyOf=${(item) => item.contact.id}
            draw=${(item) => html`<${Waiting} contact=${item.contact} place=${item.place} wall=${wall} />`}
          />`
      : html`<div class="empty"><${Mark} meaning="good" /><p>${t("nobody_waits")}</p></div>`}
    ${board.contactsMore && html`<p class="quiet drill-words">${t("contacts_more")}</p>`}`;
}

function Held({ wall, reservation }) {
  return html`<li>
    <button class="contact-line" onClick=${() => wall.go({ contact: reservation.contact })}>
      <span class="grow">
        <span class="line"><${ChannelIcon} channel=${reservation.channel} /><strong class="cut grow" title=${reservation.contact}>${shortId(reservation.contact)}</strong><${Since} at=${reservation.since_at_us} /></span>
        <span class="line quiet">${t(`state_${reservation.state}`)} · ${reservation.queue}</span>
      </span>
    </button>
  </li>`;
}

function AgentPanel({ wall, id }) {
  const agent = wall.board.agents.get(id);
  if (!agent) return html`<${PanelHead} title=${id} onBack=${() => wall.go({})} /><div class="empty"><p>${t("no_agent")}</p></div>`;
  const reservations = agent.reservations || [];
  return html`<${PanelHead} title=${agent.name || agent.id} onBack=${() => wall.go({})} />
    <dl class="facts drill-words">
      <div><dt>${t("presence")}</dt><dd class="line"><${Mark} ...${presenceMark(agent.presence, agent.reason)} /> ${presenceWords(agent.presence, agent.reason)} <${Since} at=${agent.presence_at_us} /></dd></div>
      <div><dt>${t("load")}</dt><dd>${t("load_words", { load: agent.load || 0, capacity: agent.capacity || 0 })}</dd></div>
      <div><dt>${t("profile")}</dt><dd>${agent.profile || "–"}</dd></div>
      ${agent.lost_at_us > 0 && html`<div><dt>${t("desk_lost")}</dt><dd class="bad"><${Since} at=${agent.lost_at_us} /></dd></div>`}
    </dl>
    <${AgentActions} wall=${wall} agent=${agent} />
    <h3 class="drill-words">${t("holds")} <span class="quiet">${reservations.length}</span></h3>
    ${reservations.length
      ? html`<ul>${reservations.map((each) => html`<${Held} key=${each.id} wall=${wall} reservation=${each} />`)}</ul>`
      : html`<p class="quiet drill-words">${t("holds_nothing")}</p>`}`;
}

/** The panel for the place in the address. Esc goes back. */
export function Drill({ wall }) {
  const { queue, agent, contact, channels } = wall.place;
  if (channels) {
    return html`<section class="drill" data-drill="channels">
      <${PanelHead} title=${t("pause_title")} onBack=${() => wall.go({})} />
      <${Pausing} wall=${wall} />
    </section>`;
  }
  if (queue) return html`<section class="drill" data-drill="queue"><${QueuePanel} wall=${wall} id=${queue} /></section>`;
  if (agent) return html`<section class="drill" data-drill="agent"><${AgentPanel} wall=${wall} id=${agent} /></section>`;
  const back = () => {
    const known = wall.board.contacts.get(contact);
    wall.go(known?.queue ? { queue: known.queue } : {});
  };
  return html`<section class="drill" data-drill="contact">
    <${PanelHead} title=${t("contact_title", { id: shortId(contact) })} onBack=${back} />
    <${Life} wall=${wall} id=${contact} />
  </section>`;
}
