// The top of the desk: who I am, my presence and the time in it, my load, the connection.

import { Since } from "../page/clock.js";
import { ConnectionState } from "../page/connection.js";
import { clockTime, duration, share } from "../page/format.js";
import { Icon, Mark, presenceMark } from "../page/icons.js";
import { signOut } from "../page/session.js";
import { language, setLanguage, t, tables, word } from "../page/texts.js";
import { presenceWords } from "../page/words.js";
import { html } from "../page/view.js";

/** Reasons an agent may give for not being ready. */
const REASONS = ["break", "lunch", "meeting", "training", "paperwork"];

function Presence({ desk }) {
  const { agent } = desk.known;
  const { presence, reason = "", presence_at_us: at } = agent;
  const value = presence === "not_ready" ? `not_ready/${reason}` : presence;
  const reasons = presence !== "not_ready" || REASONS.includes(reason) ? REASONS : [reason, ...REASONS];
  const declare = (event) => {
    const [wanted, why = ""] = event.target.value.split("/");
    event.target.blur();
    desk.act("presence", wanted === "not_ready" ? { presence: wanted, reason: why } : { presence: wanted });
  };
  return html`<div class="presence">
    <label class="presence-field">
      <${Mark} ...${presenceMark(presence, reason)} />
      <span class="unseen">${t("presence")}</span>
      <select id="presence" value=${value} onChange=${declare}>
        <option value="ready">${t("presence_ready")}</option>
        <optgroup label=${t("presence_not_ready")}>
          ${reasons.map((each) => html`<option key=${each} value=${`not_ready/${each}`}>${each ? word("reason", each) : t("presence_not_ready")}</option>`)}
        </optgroup>
        <option value="offline">${t("presence_offline")}</option>
      </select>
    </label>
    <span class="presence-time"><${Since} at=${at} title=${presenceWords(presence, reason)} /></span>
    ${presence !== "ready" &&
    html`<button class="primary" disabled=${desk.isBusy("presence")} onClick=${() => desk.act("presence", { presence: "ready" })}>
      ${t("go_ready")} <kbd>R</kbd>
    </button>`}
  </div>`;
}

function Load({ agent }) {
  const share = agent.capacity ? Math.min(1, (agent.load || 0) / agent.capacity) : 0;
  const said = t("load_words", { load: agent.load || 0, capacity: agent.capacity || 0 });
  return html`<div class="load" title=${said}>
    <span class="quiet">${t("load")}</span>
    <span class="bar" role="img" aria-label=${said}><span style=${{ width: `${share * 100}%` }} /></span>
    <span class="time">${Math.round(share * 100)} %</span>
  </div>`;
}

/** My numbers since I signed in; each says its formula. */
function Numbers({ shift }) {
  if (!shift?.started_at_us) return null;
  const since = clockTime(shift.started_at_us);
  const shown = [
    ["handled", shift.handled],
    ["aht_us", shift.aht_us === null ? "–" : duration(shift.aht_us)],
    ["missed", shift.missed],
    ["occupancy", share(shift.occupancy)],
  ];
  return html`<dl class="numbers" aria-label=${t("numbers", { since })} title=${t("numbers", { since })}>
    ${shown.map(
      ([name, value]) => html`<div key=${name} data-number=${name} title=${`${t(`formula_${name}`)} · ${t("numbers", { since })}`}>
        <dt class="quiet">${t(`number_${name}`)}</dt>
        <dd class="time">${value}</dd>
      </div>`,
    )}
  </dl>`;
}

function Bell({ sound: [on, toggle, allowed] }) {
  const said = !on ? t("sound_off") : allowed ? t("sound_on") : t("sound_waits");
  return html`<button class="icon-button" aria-pressed=${on} title=${said} aria-label=${said} onClick=${toggle}>
    <${Icon} name=${on ? "bell" : "mute"} />
  </button>`;
}

/** One row; it never wraps the columns below out of place. */
export function Top({ desk, sound, onKeys }) {
  const { agent } = desk.known;
  const others = Object.keys(tables).filter((each) => each !== language());
  const speak = (name) => {
    setLanguage(name);
    desk.store.touch();
  };
  const leave = async () => {
    if (!(await desk.leave())) return;
    await signOut();
    location.reload();
  };
  return html`<header class="top">
    <h1 class="unseen">${t("title_desk")}</h1>
    <span class="brand">contact-router</span>
    <${Presence} desk=${desk} />
    <${Load} agent=${agent} />
    <${Numbers} shift=${desk.known.shift} />
    <span class="grow" />
    <${ConnectionState} connection=${desk.view.connection} />
    <span class="me" title=${agent.id}>${agent.name || agent.id}</span>
    <span class="tools">
      <${Bell} sound=${sound} />
      ${others.map(
        (each) => html`<button key=${each} class="icon-button" lang=${each} title=${t(`language_${each}`)} onClick=${() => speak(each)}>
          <span class="language">${each.toUpperCase()}</span>
        </button>`,
      )}
      <button class="icon-button" title=${t("keys_title")} aria-label=${t("keys_title")} onClick=${onKeys}>?</button>
      <button class="plain sign-out" onClick=${leave}>${t("sign_out")}</button>
    </span>
  </header>`;
}
