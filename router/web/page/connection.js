// The one place that says how the page stands with the server: a state, and when it last heard something.

import { useBeat } from "./clock.js";
import { clockSeconds, duration } from "./format.js";
import { Mark } from "./icons.js";
import { t } from "./texts.js";
import { html } from "./view.js";

const meanings = {
  live: { meaning: "good" },
  behind: { meaning: "attention" },
  connecting: { meaning: "neutral" },
  disconnected: { meaning: "bad" },
  replaced: { meaning: "neutral", shape: "still" },
};

/** The connection's state, its last update, and when the next attempt comes. */
export function ConnectionState({ connection }) {
  useBeat();
  if (!connection) return null;
  const { name, heardAt, retryAt, lagUs } = connection;
  const heard = heardAt ? clockSeconds(heardAt * 1000) : "–";
  let detail = t("connection_heard", { time: heard });
  if (name === "behind" && lagUs > 1e6) detail = t("connection_lag", { time: duration(lagUs) });
  if (name === "disconnected") {
    const left = Math.max(0, retryAt - Date.now()) * 1000;
    detail = `${t("connection_retry", { time: duration(left + 999_999) })} · ${detail}`;
  }
  return html`<div class="connection" data-state=${name}>
    <${Mark} ...${meanings[name]} />
    <span role="status">${t(`connection_${name}`)}</span>
    <span class="quiet time">${detail}</span>
    ${name === "disconnected" &&
    html`<button class="link" onClick=${() => connection.retryNow()}>${t("connection_now")}</button>`}
    ${name === "replaced" &&
    html`<button class="link" onClick=${() => location.reload()}>${t("connection_here")}</button>`}
  </div>`;
}

/** Nothing can be saved: said calmly, in line, for as long as it is so. The region is always there, so that it is read out. */
export function StoreAway({ connection }) {
  return html`<div class="store-away" role="status" aria-live="polite">
    ${connection?.storeAway && html`<${Mark} meaning="attention" /><span>${t("store_away")}</span>`}
  </div>`;
}
