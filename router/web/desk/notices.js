// What the agent must know, in line above the conversation: never over it.

import { clockTime } from "../page/format.js";
import { Mark } from "../page/icons.js";
import { t } from "../page/texts.js";
import { html } from "../page/view.js";

/** Notices stay until they are dismissed; the newest four. */
export function Notices({ desk }) {
  const { notices } = desk.view;
  return html`<div class="notices" role="log" aria-live="polite">
    ${notices.map(
      ({ id, meaning, text, at }) => html`<div key=${id} class=${`notice ${meaning}-soft`}>
        <${Mark} meaning=${meaning} />
        <span class="grow">${text}</span>
        <span class="quiet time">${clockTime(at)}</span>
        <button class="icon-button" aria-label=${t("dismiss")} onClick=${() => desk.dismiss(id)}>×</button>
      </div>`,
    )}
  </div>`;
}
