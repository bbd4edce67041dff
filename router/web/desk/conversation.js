// The middle: one contact on whatever channel. Head with controls, what was said, sheet, composer or wrap-up.

import { Since } from "../page/clock.js";
import { clockTime, day, sameDay } from "../page/format.js";
import { ChannelIcon, Icon, Mark } from "../page/icons.js";
import { PlainText } from "../page/plain.js";
import { getList } from "../page/session.js";
import { t, word } from "../page/texts.js";
import { html, useLayoutEffect, useRef, useState } from "../page/view.js";
import { Composer } from "./composer.js";
import { Files } from "./files.js";
import { callOf, channelOf, nameOf, reservationOf } from "./model.js";
import { Sheet } from "./sheets.js";
import { WrapUp } from "./wrapup.js";

const SENT = 50;

function Act({ icon, text, letter, on, busy, pressed, ...rest }) {
  return html`<button aria-pressed=${pressed} disabled=${busy} onClick=${on} title=${`${text} (${letter})`} ...${rest}>
    <${Icon} name=${icon} /><span>${text}</span>
  </button>`;
}

/** Since when the customer is on hold; 0 = not, or no longer of interest. */
const heldSince = (reservation) => (reservation?.state === "connected" && reservation.hold_at_us) || 0;

function Controls({ desk, contact, reservation }) {
  const id = contact.id;
  const channel = channelOf(desk.known, contact.channel);
  const sheet = desk.view.chosen === id ? desk.view.sheet : "";
  const held = heldSince(reservation) > 0;
  const consult = consultOf(desk, contact);
  const call = callOf(desk.known, contact, reservation);
  return html`<div class="controls" role="toolbar" aria-label=${t("controls")}>
    ${call.canHold &&
    html`<${Act}
      icon=${held ? "resume" : "hold"}
      letter="H"
      text=${held ? t("act_resume") : t("act_hold")}
      busy=${desk.isBusy("hold", id) || desk.isBusy("resume", id)}
      on=${() => desk.act(held ? "resume" : "hold", { contact: id })}
    />`}
    <${Act} icon="transfer" letter="T" text=${t("act_transfer")} pressed=${sheet === "transfer"} on=${() => desk.open("transfer")} />
    ${!consult && !contact.consult_of && html`<${Act} icon="consult" letter="O" text=${t("act_consult")} pressed=${sheet === "consult"} on=${() => desk.open("consult")} />`}
    ${call.canRecord &&
    html`<${Act}
      icon="record"
      letter="C"
      text=${t(reservation.is_recording ? "act_record_pause" : "act_record")}
      busy=${desk.isBusy("record", id)}
      on=${() => desk.act("record", { contact: id, on: !reservation.is_recording })}
    />`}
    ${!contact.consult_of &&
    !consult &&
    html`<${Act} icon="channel" letter="N" text=${t("act_switch_channel")} pressed=${sheet === "switch_channel"} on=${() => desk.open("switch_channel")} />
      <${Act} icon="callback" letter="B" text=${t("act_callback")} pressed=${sheet === "callback"} on=${() => desk.open("callback")} />`}
    <${Act} icon="requeue" letter="Q" text=${t("act_requeue")} pressed=${sheet === "requeue"} on=${() => desk.open("requeue")} />
    ${channel.parks && html`<${Act} icon="park" letter="P" text=${t("act_park")} busy=${desk.isBusy("park", id)} on=${() => desk.act("park", { contact: id })} />`}
    <${Act} icon="done" letter="E" class="primary" text=${t("act_complete")} pressed=${sheet === "complete"} on=${() => desk.open("complete")} />
  </div>`;
}

/** The id of the consult that runs for this contact, or "". */
function consultOf(desk, contact) {
  return typeof contact.consult === "string" ? contact.consult : "";
}

function ConsultStrip({ desk, contact, reservation }) {
  const consult = consultOf(desk, contact);
  if (!consult) return null;
  const known = desk.known.contacts.get(consult);
  const { canConfer, together } = callOf(desk.known, contact, reservation);
  const words = together ? t("in_conference") : t("consulting", { state: known ? t(`state_${known.state}`) : t("state_queued") });
  return html`<div class="strip attention-soft">
    <${Icon} name=${together ? "conference" : "consult"} />
    <span class="grow">${words}</span>
    ${canConfer &&
    html`<button disabled=${desk.isBusy("conference", contact.id)} onClick=${() => desk.act("conference", { contact: contact.id, together: !together })}>
      ${t(together ? "conference_apart" : "act_conference")} <kbd>F</kbd>
    </button>`}
    <button onClick=${() => desk.act("end_consult", { contact: contact.id, hand_over: false })}>${t("consult_back")}</button>
    <button class="primary" onClick=${() => desk.act("end_consult", { contact: contact.id, hand_over: true })}>${t("consult_hand_over")}</button>
  </div>`;
}

function Beside({ desk, contact }) {
  const kept = desk.view.kept === contact.id;
  const said = `${t(kept ? "beside_close" : "beside_open")} (V)`;
  return html`<button class="icon-button beside-button" aria-pressed=${kept} aria-label=${said} title=${said} onClick=${() => desk.keepBeside()}><${Icon} name="beside" /></button>`;
}

function Head({ desk, contact, reservation, onAside }) {
  const held = heldSince(reservation);
  const state = reservation ? reservation.state : contact.state;
  const since = reservation?.wrap_at_us || reservation?.connected_at_us || reservation?.accepted_at_us || contact.parked_at_us;
  return html`<header class="head">
    <div class="head-line">
      <${ChannelIcon} channel=${contact.channel} />
      <h2 class="name cut grow" dir="auto">${nameOf(contact, t("erased"))}</h2>
      ${(!desk.view.kept || desk.view.kept === contact.id) && html`<${Beside} desk=${desk} contact=${contact} />`}
      <button class="icon-button aside-button" aria-label=${t("key_customer")} title=${t("key_customer")} onClick=${onAside}><${Icon} name="info" /></button>
    </div>
    <div class="head-line quiet">
      <span>${t(`state_${held ? "held" : state}`)} <${Since} at=${held || since} /></span>
      ${contact.queue && html`<span>· ${contact.queue}</span>`}
      ${contact.direction && contact.direction !== "inbound" && html`<span>· ${t(`direction_${contact.direction}`)}</span>`}
      ${contact.watched && html`<span class="attention">· ${t("watched")}</span>`}
      ${reservation?.recording &&
      html`<span class=${reservation.is_recording ? "recording" : "line quiet"} role="status">· <${Icon} name="record" /> ${t(reservation.is_recording ? "recording" : "recording_paused")}</span>`}
    </div>
  </header>`;
}

function Bubble({ desk, message }) {
  const mine = message.from === "agent";
  const delivery = desk.known.delivery.get(message.id);
  return html`<li class=${`message from-${message.from}`} data-message=${message.id}>
    <div class="bubble">
      ${message.subject && html`<strong class="subject" dir="auto">${message.subject}</strong>`}
      ${message.erased ? html`<em>${t("erased")}</em>` : html`<${PlainText} text=${message.text || ""} />`}
      <${Files} desk=${desk} message=${message} />
    </div>
    <div class="message-foot quiet">
      ${message.from === "router" && html`<span>${t("the_router")} ·</span>`}
      ${mine && message.agent && html`<span>${desk.agentName(message.agent)} ·</span>`}
      <span class="time">${clockTime(message.at_us)}</span>
      ${delivery && html`<span class=${/^(done|delivered)$/.test(delivery) ? "" : "bad"}>· ${t(`result_${delivery}`)}</span>`}
    </div>
  </li>`;
}

function Unsent({ desk, contact, unsent }) {
  const going = desk.view.busy.has(`send/${unsent.id}`);
  const live = desk.view.connection.name === "live" || desk.view.connection.name === "behind";
  const state = going
    ? t(live ? "sending" : "sending_later")
    : t(desk.view.refused.has(unsent.id) ? "send_refused" : "send_unsure");
  return html`<li class="message from-agent unsent" data-message=${unsent.id}>
    <div class="bubble"><${PlainText} text=${unsent.text} /></div>
    <div class="message-foot">
      <span class=${going ? "quiet" : "attention"}>${state}</span>
      ${!going &&
      html`<button class="link" onClick=${() => desk.send(contact.id, unsent.text, unsent.id)}>${t("send_again")}</button>
        <button class="link" onClick=${() => desk.takeBack(contact.id, unsent)}>${t("send_edit")}</button>`}
    </div>
  </li>`;
}

/** A push brings the last 50; only then can there be older ones. */
function Older({ desk, contact, count }) {
  const [state, setState] = useState("more");
  if (state === "none" || count < SENT) return null;
  const load = async () => {
    setState("loading");
    try {
      const messages = await getList(`/v1/contacts/${encodeURIComponent(contact.id)}/messages?limit=500`, "messages");
      desk.older(contact.id, messages);
      setState("none");
    } catch (error) {
      setState("more");
      desk.notice("bad", t("refused", { what: t("older"), why: error.message }));
    }
  };
  return html`<li class="older"><button class="link" disabled=${state === "loading"} onClick=${load}>${t("older")}</button></li>`;
}

function Call({ contact, reservation }) {
  const held = heldSince(reservation);
  const state = held ? "held" : reservation?.state || contact.state;
  return html`<div class="call" data-state=${state}>
    <span class="call-icon"><${Icon} name="voice" /></span>
    <p class="call-state">${t(`state_${state}`)}</p>
    <p class="call-time"><${Since} at=${held || reservation?.wrap_at_us || reservation?.connected_at_us || reservation?.accepted_at_us} /></p>
    <p class="quiet">${contact.peer?.address || ""}${contact.peer?.to ? ` → ${contact.peer.to}` : ""}</p>
  </div>`;
}

function Said({ desk, contact }) {
  const own = useRef(null);
  const atEnd = useRef(true);
  const messages = desk.known.messages.get(contact.id) || [];
  const unsent = desk.drafts.unsent(contact.id);
  const count = messages.length + unsent.length;
  const types = desk.isTyping(contact.id);
  const sent = unsent.at(-1)?.id || "";
  useLayoutEffect(() => void (sent && (atEnd.current = true)), [sent]); // whoever writes wants to see it
  useLayoutEffect(() => {
    // Stay at the newest message, unless somebody is reading further up.
    if (atEnd.current && own.current) own.current.scrollTop = own.current.scrollHeight;
  }, [count, types, sent, own.current?.clientHeight]);
  const scrolled = () => {
    const { scrollTop, scrollHeight, clientHeight } = own.current;
    atEnd.current = scrollHeight - scrollTop - clientHeight < 40;
  };
  let before = 0;
  return html`<ol class="said" ref=${own} onScroll=${scrolled} tabindex="0" aria-label=${t("conversation")}>
    <${Older} desk=${desk} contact=${contact} count=${messages.length} />
    ${messages.map((message) => {
      const turn = !before || !sameDay(before, message.at_us);
      before = message.at_us;
      return [
        turn && html`<li class="day" key=${`day-${message.id}`}>${day(message.at_us)}</li>`,
        html`<${Bubble} key=${message.id} desk=${desk} message=${message} />`,
      ];
    })}
    ${unsent.map((each) => html`<${Unsent} key=${each.id} desk=${desk} contact=${contact} unsent=${each} />`)}
    ${types && html`<li class="typing quiet">${t("typing")}</li>`}
    ${!count && html`<li class="empty"><p>${t("nothing_said")}</p></li>`}
  </ol>`;
}

function Footer({ desk, contact, reservation, active }) {
  const media = channelOf(desk.known, contact.channel).media;
  if (reservation?.state === "wrapping") return html`<${WrapUp} desk=${desk} contact=${contact} reservation=${reservation} active=${active} />`;
  if (contact.state === "parked" || !reservation) {
    const draft = desk.drafts.read(contact.id);
    return html`<div class="strip"><${Mark} meaning="neutral" /><span class="grow">${t("parked_words")}</span></div>
      ${draft && html`<p class="strip"><strong>${t("draft")}</strong> <span class="plain" dir="auto">${draft}</span></p>`}`;
  }
  return html`<${ConsultStrip} desk=${desk} contact=${contact} reservation=${reservation} />
    ${active && desk.view.sheet && html`<${Sheet} key=${desk.view.sheet} desk=${desk} contact=${contact} />`}
    ${!media && html`<${Composer} desk=${desk} contact=${contact} active=${active} />`}`;
}

/** One contact in the middle column; with nothing chosen it says so. Whatever is touched becomes the chosen one. */
export function Conversation({ desk, contact, onAside }) {
  if (!contact) {
    return html`<div class="empty"><${Mark} meaning="neutral" /><p>${t("nothing_chosen")}</p></div>`;
  }
  const reservation = reservationOf(desk.known, contact.id);
  const serving = reservation && contact.state === "active" && reservation.state !== "wrapping" && reservation.state !== "offered";
  const media = channelOf(desk.known, contact.channel).media;
  const active = desk.view.chosen === contact.id;
  const activate = () => void (active || desk.choose(contact.id));
  return html`<article class="conversation" data-pane=${contact.id} data-active=${active ? "yes" : "no"} aria-label=${nameOf(contact, t("erased"))} onPointerDown=${activate} onFocusIn=${activate}>
    <${Head} desk=${desk} contact=${contact} reservation=${reservation} onAside=${onAside} />
    ${serving && html`<${Controls} desk=${desk} contact=${contact} reservation=${reservation} />`}
    ${media ? html`<${Call} contact=${contact} reservation=${reservation} />` : html`<${Said} desk=${desk} contact=${contact} />`}
    <footer class="foot"><${Footer} desk=${desk} contact=${contact} reservation=${reservation} active=${active} /></footer>
  </article>`;
}
