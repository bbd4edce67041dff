// The one place that says how the page stands with the server: a state, and when it last heard something.

import { now, useBeat } from "./clock.js";
import { clockSeconds, duration } from "./format.js";
import { Mark } from "./icons.js";
import { t } from "./texts.js";
import { html, useEffect } from "./view.js";

const meanings = {
  live: { meaning: "good" },
  behind: { meaning: "attention" },
  connecting: { meaning: "neutral" },
  disconnected: { meaning: "bad" },
};

/** The connection's state, its last update, and when the next attempt comes. */
export function ConnectionState({ connection }) {
  useBeat();
  if (!connection) return null;
  const { name, heardAt, retryAt, lagUs } = connection;
  const heard = heardAt ? clockSeconds(heardAt) : "–";
  let detail = t("connection_heard", { time: heard });
  if (name === "behind" && lagUs > 1e6) detail = t("connection_lag", { time: duration(lagUs) });
  if (name === "disconnected") {
    const left = Math.max(0, retryAt - now());
    detail = `${t("connection_retry", { time: duration(left + 999_999) })} · ${detail}`;
  }
  return html`<div class="connection" data-state=${name}>
    <${Mark} ...${meanings[name]} />
    <span role="status">${t(`connection_${name}`)}</span>
    <span class="quiet time">${detail}</span>
    ${name === "disconnected" &&
    html`<button class="link" onClick=${() => connection.retryNow()}>${t("connection_now")}</button>`}
  </div>`;
}

/** How old may what is shown be, when nothing more comes: microseconds. A short cut is no news. */
const OLD_US = 10e6;

/** Is what is shown old? Then since when; 0 = it is not. Asked once a second. */
export function useOld(connection) {
  const time = useBeat();
  const { name, heardAt = 0 } = connection;
  return name !== "live" && heardAt && time - heardAt > OLD_US ? heardAt : 0;
}

/** Nothing can be saved: said calmly, in line, for as long as it is so. The region is always there, so that it is read out. */
export function StoreAway({ connection }) {
  return html`<div class="store-away" role="status" aria-live="polite">
    ${connection?.storeAway && html`<${Mark} meaning="attention" /><span>${t("store_away")}</span>`}
  </div>`;
}

/** Stands where the page stood when it was opened in another tab: an old picture must not look like a live one. */
export function Replaced() {
  useEffect(() => {
    document.title = `${t("connection_replaced")} · contact-router`;
  }, []);
  return html`<main class="empty waiting replaced">
    <p class="brand">contact-router</p>
    <div role="status">
      <h1>${t("connection_replaced")}</h1>
      <p>${t("replaced_words")}</p>
    </div>
    <button class="primary" onClick=${() => location.reload()}>${t("connection_here")}</button>
  </main>`;
}
