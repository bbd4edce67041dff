// The desk as a whole: top, my work, the conversation, the customer, and the keys.

import { StoreAway } from "../page/connection.js";
import { KeySheet, useKeys } from "../page/keys.js";
import { Pauses } from "../page/pauses.js";
import { useStore } from "../page/store.js";
import { t } from "../page/texts.js";
import { html, useEffect, useState } from "../page/view.js";
import { Conversation } from "./conversation.js";
import { Customer } from "./customer.js";
import { callOf, channelOf, reservationOf, rows, work } from "./model.js";
import { Notices } from "./notices.js";
import { useRinging } from "./sound.js";
import { Top } from "./top.js";
import { Work } from "./work.js";

/** Room for two contacts side by side; desk.css says the same. */
const WIDE = "(min-width: 1400px)";

/** Everything that a key can do; also what `?` shows. */
function bindings(desk, showKeys) {
  const { known, view } = desk;
  const contact = known.contacts.get(view.chosen);
  const reservation = contact && reservationOf(known, contact.id);
  const channel = contact ? channelOf(known, contact.channel) : {};
  const serving = reservation && contact.state === "active" && reservation.state !== "wrapping";
  const call = contact ? callOf(known, contact, reservation) : {};
  const elsewhere = serving && !contact.consult && !contact.consult_of;
  const on = (possible, act) => () => (possible ? void act() : false);
  const offer = desk.offers()[0];
  const ready = known.agent.presence === "ready";
  return [
    { key: "a", text: t("key_accept"), act: on(offer, () => desk.accept(offer)) },
    { key: "x", text: t("key_reject"), act: on(offer, () => desk.act("reject", { reservation: offer.id })) },
    { key: "j", text: t("key_next"), act: () => desk.step(1) },
    { key: "k", text: t("key_previous"), act: () => desk.step(-1) },
    { key: "m", text: t("key_write"), act: on(contact, () => document.getElementById("composer")?.focus()) },
    {
      key: "h",
      text: t("key_hold"),
      act: on(call.canHold, () =>
        desk.act(reservation.hold_at_us ? "resume" : "hold", { contact: contact.id }),
      ),
    },
    { key: "t", text: t("key_transfer"), act: on(serving, () => desk.open("transfer")) },
    { key: "o", text: t("key_consult"), act: on(serving && !contact.consult, () => desk.open("consult")) },
    {
      key: "f",
      text: t("key_conference"),
      act: on(call.canConfer, () => desk.act("conference", { contact: contact.id, together: !call.together })),
    },
    {
      key: "c",
      text: t("key_record"),
      act: on(call.canRecord, () => desk.act("record", { contact: contact.id, on: !reservation.is_recording })),
    },
    { key: "n", text: t("key_switch_channel"), act: on(elsewhere, () => desk.open("switch_channel")) },
    { key: "b", text: t("key_callback"), act: on(elsewhere, () => desk.open("callback")) },
    { key: "q", text: t("key_requeue"), act: on(serving, () => desk.open("requeue")) },
    { key: "p", text: t("key_park"), act: on(serving && channel.parks, () => desk.act("park", { contact: contact.id })) },
    { key: "e", text: t("key_complete"), act: on(serving, () => desk.open("complete")) },
    {
      key: "w",
      text: t("key_wrap"),
      act: on(reservation?.state === "wrapping", () => document.getElementById("finish-wrap-up")?.click()),
    },
    {
      key: "d",
      text: t("key_disposition"),
      act: () => {
        const first = document.querySelector("[data-active=yes] .dispositions [tabindex='0']");
        return first ? first.focus() : false;
      },
    },
    { key: "v", text: t("key_beside"), act: on(contact && matchMedia(WIDE).matches, () => desk.keepBeside()) },
    { key: "g", text: t("key_swap"), act: () => matchMedia(WIDE).matches && desk.swap() },
    { key: "u", text: t("key_note"), act: on(contact, () => document.getElementById("note")?.click()) },
    { key: "i", text: t("key_customer"), act: () => toggleAside(desk) },
    { key: "y", text: t("key_why"), act: on(contact, () => document.getElementById("why")?.click()) },
    {
      key: "l",
      text: t("key_week"),
      act: () => {
        const cell = document.querySelector(".heat [tabindex='0']");
        return cell ? cell.focus() : false;
      },
    },
    {
      key: "r",
      text: t("key_ready"),
      act: () => void desk.act("presence", ready ? { presence: "not_ready", reason: "break" } : { presence: "ready" }),
    },
    { key: "s", text: t("key_presence"), act: () => document.getElementById("presence")?.focus() },
    { key: "?", text: t("key_help"), act: showKeys },
    ...["1", "2", "3", "4", "5", "6", "7", "8", "9"].map((key) => ({
      key,
      act: on(rows(work(known))[key - 1], () => desk.choose(rows(work(known))[key - 1].contact.id)),
    })),
  ];
}

function toggleAside(desk) {
  desk.view.aside = !desk.view.aside;
  desk.store.touch();
}

/** Offers and unread work in the tab's title, for when the desk is behind another window. */
function useTitle(offers, waiting) {
  useEffect(() => {
    const mark = offers ? `● ${t("title_offer")}` : waiting ? `(${waiting}) ${t("title_desk")}` : t("title_desk");
    document.title = `${mark} · contact-router`;
  }, [offers, waiting]);
}

export function Desk({ desk }) {
  useStore(desk.store);
  const [keysShown, setKeysShown] = useState(false);
  const all = bindings(desk, () => setKeysShown(true));
  useKeys(all);
  const offers = desk.offers();
  const groups = work(desk.known);
  const sound = useRinging(offers.length);
  useTitle(offers.length, groups.mine.length);
  const contact = desk.known.contacts.get(desk.view.chosen);
  const panes = desk.panes();
  return html`<div class="desk" data-panes=${panes.length} data-aside=${desk.view.aside ? "open" : "closed"}>
    <${Top} desk=${desk} sound=${sound} onKeys=${() => setKeysShown(true)} />
    <${Work} desk=${desk} offers=${offers} groups=${groups} />
    <main class="middle">
      <${StoreAway} connection=${desk.view.connection} />
      <${Pauses} pauses=${desk.known.pauses} />
      <${Notices} desk=${desk} />
      <div class="panes">
        ${panes.map((id) => html`<${Conversation} key=${id} desk=${desk} contact=${desk.known.contacts.get(id)} onAside=${() => toggleAside(desk)} />`)}
      </div>
    </main>
    <${Customer} key=${contact && `aside-${contact.id}`} desk=${desk} contact=${contact} onClose=${() => toggleAside(desk)} />
    <div class="unseen" role="status" aria-live="polite">${desk.view.spoken}</div>
    ${keysShown &&
    html`<${KeySheet}
      bindings=${all}
      more=${[
        { key: "1–9", text: t("key_number") },
        { key: "Enter", text: t("key_send") },
        { key: "Escape", text: t("key_escape") },
      ]}
      onClose=${() => setKeysShown(false)}
    />`}
  </div>`;
}
