// After-contact work: its timer, the disposition, finish or more time.

import { now, Until, useBeat } from "../page/clock.js";
import { Ring } from "../page/icons.js";
import { t } from "../page/texts.js";
import { html, useState } from "../page/view.js";
import { Dispositions } from "./dispositions.js";
import { dispositionsOf } from "./model.js";

const MORE_US = 60_000_000;

/** Stands where the composer was. */
export function WrapUp({ desk, contact, reservation, active }) {
  useBeat();
  const [chosen, setChosen] = useState(reservation.disposition || "");
  const { deadline_at_us: deadline, wrap_at_us: began } = reservation;
  const left = deadline ? (deadline - now()) / Math.max(1, deadline - (began || now())) : 1;
  const draft = desk.drafts.read(contact.id);
  const { known } = dispositionsOf(desk, reservation.queue);
  const missing = !!reservation.asks_disposition && !chosen && known.length > 0;
  const finish = () => desk.act("finish_wrap_up", { reservation: reservation.id, ...(chosen && { disposition: chosen }) });
  return html`<section class="wrap-up" aria-label=${t("wrap_up")}>
    <div class="line">
      <${Ring} left=${Math.min(1, Math.max(0, left))} />
      <div class="grow">
        <h2>${t("wrap_up")}</h2>
        <p class="quiet">
          ${deadline ? html`${t("wrap_up_until")} <${Until} at=${deadline} />` : t("wrap_up_open")}
          ${contact.outcome && ` · ${t(`outcome_${contact.outcome}`)}`}
        </p>
      </div>
      <button disabled=${!deadline || desk.isBusy("extend_wrap_up", reservation.id)} onClick=${() => desk.act("extend_wrap_up", { reservation: reservation.id, by_us: MORE_US })}>
        ${t("wrap_up_more")}
      </button>
      <button id=${active ? "finish-wrap-up" : undefined} class="primary" disabled=${missing || desk.isBusy("finish_wrap_up", reservation.id)} onClick=${finish}>
        ${t("wrap_up_finish")} <kbd>W</kbd>
      </button>
    </div>
    <${Dispositions} known=${known} missing=${missing} value=${chosen} onChoose=${setChosen} />
    ${draft && html`<p class="kept"><strong>${t("wrap_up_draft")}</strong> <span class="plain" dir="auto">${draft}</span></p>`}
  </section>`;
}
