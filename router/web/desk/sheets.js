// The sheets between conversation and composer: transfer, consult, requeue, complete, another channel. In line, never a modal.

import { Mark, presenceMark } from "../page/icons.js";
import { t } from "../page/texts.js";
import { presenceWords } from "../page/words.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "../page/view.js";
import { Dispositions } from "./dispositions.js";
import { Elsewhere } from "./elsewhere.js";
import { channelOf, dispositionsOf } from "./model.js";

const SHOWN = 40;

/** Queues and agents that a contact can be given to, by what was typed. */
export function destinations(desk, contact, typed) {
  const { queues = [], agents = [] } = desk.known.directory;
  const wanted = typed.trim().toLowerCase();
  const matches = (...names) => !wanted || names.some((name) => String(name).toLowerCase().includes(wanted));
  const found = [
    ...queues
      .filter((queue) => matches(queue.id))
      .filter((queue) => !queue.channels || contact.channel in queue.channels)
      .map((queue) => ({ key: `q-${queue.id}`, queue: queue.id, name: queue.id, open: queue.open !== false })),
    ...agents
      .filter((agent) => agent.id !== desk.known.agent.id && matches(agent.id, agent.name || ""))
      .map((agent) => ({ key: `a-${agent.id}`, target_agent: agent.id, name: agent.name || agent.id, ...agent })),
  ];
  return found.slice(0, SHOWN);
}

function Destination({ to, chosen, onChoose }) {
  const said = to.queue ? (to.open ? t("queue_open") : t("queue_closed")) : presenceWords(to.presence || "offline", to.reason);
  const mark = to.queue ? { meaning: to.open ? "good" : "neutral" } : presenceMark(to.presence, to.reason);
  return html`<li id=${`to-${to.key}`} role="option" aria-selected=${chosen} class=${chosen ? "chosen" : ""} onClick=${onChoose}>
    <${Mark} ...${mark} />
    <span class="cut grow">${to.name}</span>
    <span class="quiet">${to.queue ? t("queue") : t("agent")} · ${said}</span>
  </li>`;
}

/** Choose where to, with the keyboard alone: type, arrows, Enter. */
function Destinations({ desk, contact, kind }) {
  const [typed, setTyped] = useState("");
  const [place, setPlace] = useState(0);
  const [reason, setReason] = useState("");
  const found = destinations(desk, contact, typed);
  const chosen = found[Math.min(place, found.length - 1)];
  const own = useRef(null);
  useLayoutEffect(() => own.current.focus(), []);
  useEffect(() => {
    document.getElementById(`to-${chosen?.key}`)?.scrollIntoView({ block: "nearest" });
  }, [chosen?.key]);
  const go = async (to = chosen) => {
    if (!to) return;
    const where = to.queue ? { queue: to.queue } : { target_agent: to.target_agent };
    const more = kind === "transfer" && reason ? { reason } : {};
    if (await desk.act(kind, { contact: contact.id, ...where, ...more })) desk.done(kind, contact.id);
  };
  const pressed = (event) => {
    if (event.isComposing) return; // Enter then ends a word of an input method
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by && found.length) setPlace((Math.min(place, found.length - 1) + by + found.length) % found.length);
    else if (event.key === "Enter") go();
    else return;
    event.preventDefault();
  };
  return html`<h2>${t(`sheet_${kind}`)}</h2>
    <input
      ref=${own}
      role="combobox"
      aria-expanded="true"
      aria-controls="destinations"
      aria-activedescendant=${chosen && `to-${chosen.key}`}
      aria-label=${t("destination")}
      placeholder=${t("destination_hint")}
      value=${typed}
      onInput=${(event) => (setTyped(event.target.value), setPlace(0))}
      onKeyDown=${pressed}
    />
    <ul class="destinations" id="destinations" role="listbox" aria-label=${t("destination")}>
      ${found.map((to) => html`<${Destination} key=${to.key} to=${to} chosen=${to === chosen} onChoose=${() => setPlace(found.indexOf(to))} />`)}
      ${!found.length && html`<li class="quiet">${t("destination_none")}</li>`}
    </ul>
    ${kind === "transfer" &&
    html`<input aria-label=${t("reason")} placeholder=${t("reason_optional")} value=${reason} onInput=${(event) => setReason(event.target.value)} onKeyDown=${(event) => event.key === "Enter" && !event.isComposing && go()} />`}
    <div class="sheet-foot">
      <button onClick=${() => desk.open("")}>${t("cancel")} <kbd>Esc</kbd></button>
      <button class="primary" disabled=${!chosen || desk.isBusy(kind, contact.id)} onClick=${() => go()}>
        ${chosen ? t(`sheet_${kind}_to`, { name: chosen.name }) : t(`act_${kind}`)}
      </button>
    </div>`;
}

function Complete({ desk, contact }) {
  const [disposition, setDisposition] = useState("");
  const [reason, setReason] = useState("");
  const own = useRef(null);
  const { known, required } = dispositionsOf(desk, contact.queue);
  const missing = required && !disposition;
  useLayoutEffect(() => own.current.focus(), []);
  const draft = desk.drafts.read(contact.id);
  const go = async (event) => {
    event?.preventDefault();
    if (missing) return;
    if (await desk.act("complete", { contact: contact.id, disposition, ...(reason && { reason }) })) desk.done("complete", contact.id);
  };
  const pressed = (event) => {
    // A digit in the empty field names a disposition; anything else is the note.
    if (!reason && known[Number(event.key) - 1] && !event.altKey) {
      event.preventDefault();
      setDisposition(known[Number(event.key) - 1]);
    }
  };
  return html`<h2>${t("sheet_complete")}</h2>
    ${draft && html`<p class="attention">${t("complete_draft")}</p>`}
    <${Dispositions} known=${known} missing=${missing} value=${disposition} onChoose=${setDisposition} />
    <form onSubmit=${go}>
      <input ref=${own} aria-label=${t("reason")} placeholder=${t("reason_optional")} value=${reason} onInput=${(event) => setReason(event.target.value)} onKeyDown=${pressed} />
      <div class="sheet-foot">
        <button type="button" onClick=${() => desk.open("")}>${t("cancel")} <kbd>Esc</kbd></button>
        <button class="primary" type="submit" disabled=${missing || desk.isBusy("complete", contact.id)}>${t("act_complete")} <kbd>↵</kbd></button>
      </div>
    </form>`;
}

function Requeue({ desk, contact }) {
  const [reason, setReason] = useState("");
  const own = useRef(null);
  useLayoutEffect(() => own.current.focus(), []);
  const go = async (event) => {
    event.preventDefault();
    if (await desk.act("requeue", { contact: contact.id, ...(reason && { reason }) })) desk.done("requeue", contact.id);
  };
  return html`<h2>${t("sheet_requeue", { queue: contact.queue })}</h2>
    <p class="quiet">${t("requeue_words")}</p>
    <form onSubmit=${go}>
      <input ref=${own} aria-label=${t("reason")} placeholder=${t("reason_optional")} value=${reason} onInput=${(event) => setReason(event.target.value)} />
      <div class="sheet-foot">
        <button type="button" onClick=${() => desk.open("")}>${t("cancel")} <kbd>Esc</kbd></button>
        <button class="primary" type="submit" disabled=${desk.isBusy("requeue", contact.id)}>${t("act_requeue")} <kbd>↵</kbd></button>
      </div>
    </form>`;
}

/** The open sheet. Esc closes it and gives the focus back to the conversation. */
export function Sheet({ desk, contact }) {
  const kind = desk.view.sheet;
  const pressed = (event) => {
    if (event.key !== "Escape" || event.isComposing) return;
    event.preventDefault();
    desk.open("");
    const back = channelOf(desk.known, contact.channel).media ? document.body : document.getElementById("composer");
    back?.focus();
  };
  return html`<section class="action-sheet" data-sheet=${kind} onKeyDown=${pressed}>
    ${kind === "complete" && html`<${Complete} desk=${desk} contact=${contact} />`}
    ${kind === "requeue" && html`<${Requeue} desk=${desk} contact=${contact} />`}
    ${(kind === "switch_channel" || kind === "callback") && html`<${Elsewhere} desk=${desk} contact=${contact} kind=${kind} />`}
    ${(kind === "transfer" || kind === "consult") && html`<${Destinations} desk=${desk} contact=${contact} kind=${kind} />`}
  </section>`;
}
