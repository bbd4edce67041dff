// A waiting contact's key in words: its tier and when it is due.

import { useBeat } from "../page/clock.js";
import { length } from "../page/format.js";
import { t } from "../page/texts.js";
import { html } from "../page/view.js";

/** "tier 0 · due in 12 s", with the whole key on hover. */
export function Due({ contact }) {
  const time = useBeat();
  const due = (contact.due_at_us || 0) - (contact.head_start_us || 0);
  const late = due < time;
  const words = late ? t("term_overdue", { value: length(time - due) }) : t("term_due_us", { value: length(due - time) });
  const title = t("key_title", { tier: contact.tier || 0, head_start: length(contact.head_start_us || 0) });
  return html`<span class="time" title=${title}>${t("term_tier", { value: contact.tier || 0 })} · <span class=${late ? "attention" : ""}>${words}</span></span>`;
}
