// Channels of which nobody is offered a contact: by name, as the server told them last.

import { clockTime } from "./format.js";
import { Mark } from "./icons.js";
import { t, word } from "./texts.js";
import { html } from "./view.js";

/** From a welcome, or a `paused` frame: all that are paused now. */
export const pausesIn = (list) => new Map((list || []).map((each) => [each.channel, each]));

/** Since when, by whom and why, in words. */
export function pauseWords(pause) {
  const { channel, at_us: at, by = "", reason = "" } = pause;
  const values = { channel: word("channel", channel), since: clockTime(at), by: by.replace(/^\w+:/, ""), reason };
  const said = t(by ? "paused_by" : "paused_since", values);
  return reason ? t("paused_why", { said, reason }) : said;
}

/** A line for each; the region is always there, so that it is read out. `more(pause)`: what stands behind the words. */
export function Pauses({ pauses, more }) {
  return html`<div class="pauses" role="status" aria-live="polite">
    ${[...pauses.values()].map(
      (pause) => html`<p key=${pause.channel} data-paused=${pause.channel}>
        <${Mark} meaning="attention" shape="still" /><span dir="auto">${pauseWords(pause)}</span>${more && more(pause)}
      </p>`,
    )}
  </div>`;
}
