// The sheets by which a contact goes on by another channel, now or by a callback. In line, never a modal.

import { now } from "../page/clock.js";
import { t, word } from "../page/texts.js";
import { html, useLayoutEffect, useRef, useState } from "../page/view.js";
import { channelOf } from "./model.js";

const MINUTE_US = 60_000_000;
const LATER = [0, 15, 60, 240];

/** Where it can go: every other channel now, a callback by those that ring. */
export function channels(desk, contact, kind) {
  const known = desk.known.directory.channels || [];
  const found = kind === "callback" ? known.filter((each) => each.media) : known.filter((each) => each.name !== contact.channel);
  // The call first: that is what a chat or an e-mail is most often turned into.
  return found.map((each) => each.name).sort((a, b) => channelOf(desk.known, b).media - channelOf(desk.known, a).media || a.localeCompare(b));
}

function When({ value, onChange }) {
  return html`<select id="when" aria-label=${t("callback_when")} value=${String(value)} onChange=${(event) => onChange(Number(event.target.value))}>
    ${LATER.map((each) => html`<option key=${each} value=${String(each)}>${each ? t("callback_in", { n: each }) : t("callback_now")}</option>`)}
  </select>`;
}

/** One channel, an address if it is not the customer's own, and for a callback when. */
export function Elsewhere({ desk, contact, kind }) {
  const possible = channels(desk, contact, kind);
  const [channel, setChannel] = useState(possible[0] || "");
  const [address, setAddress] = useState("");
  const [minutes, setMinutes] = useState(0);
  const own = useRef(null);
  useLayoutEffect(() => own.current?.focus(), []);
  const go = async (event) => {
    event.preventDefault();
    const at = minutes ? { not_before_us: now() + minutes * MINUTE_US } : {};
    const where = { contact: contact.id, channel, ...(address && { address }) };
    if (await desk.act(kind, kind === "callback" ? { ...where, ...at } : where)) desk.done(kind, contact.id);
  };
  if (!possible.length) return html`<h2>${t(`sheet_${kind}`)}</h2><p class="quiet">${t("elsewhere_none")}</p>`;
  return html`<h2>${t(`sheet_${kind}`)}</h2>
    <p class="quiet">${t(`${kind}_words`)}</p>
    <form onSubmit=${go}>
      <div class="line">
        <select ref=${own} id="elsewhere" aria-label=${t("channel")} value=${channel} onChange=${(event) => setChannel(event.target.value)}>
          ${possible.map((each) => html`<option key=${each} value=${each}>${word("channel", each)}</option>`)}
        </select>
        ${kind === "callback" && html`<${When} value=${minutes} onChange=${setMinutes} />`}
        <input class="grow" aria-label=${t("address")} placeholder=${t("elsewhere_address")} value=${address} onInput=${(event) => setAddress(event.target.value.trim())} />
      </div>
      <div class="sheet-foot">
        <button type="button" onClick=${() => desk.open("")}>${t("cancel")} <kbd>Esc</kbd></button>
        <button class="primary" type="submit" disabled=${desk.isBusy(kind, contact.id)}>${t(`act_${kind}`)} <kbd>↵</kbd></button>
      </div>
    </form>`;
}
