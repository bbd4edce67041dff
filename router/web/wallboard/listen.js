// A supervisor on somebody's call: listen, whisper, barge in. Said before it is done, and written to the audit.

import { Since } from "../page/clock.js";
import { t } from "../page/texts.js";
import { shortId } from "../page/words.js";
import { html, useState } from "../page/view.js";
import { useActing } from "./actions.js";

const MODES = ["listen", "whisper", "barge"];
const KEPT = "contact-router.listener";

function Listening({ contact, monitor, nameOf, ask }) {
  const agent = nameOf(monitor.agent);
  const others = MODES.filter((mode) => mode !== monitor.mode);
  const fields = { contact: contact.id, monitor: monitor.id };
  const values = { agent, contact: shortId(contact.id) };
  return html`<li data-monitor=${monitor.id}>
    <p><strong>${t(`mode_${monitor.mode}`)}</strong> · ${agent} <${Since} at=${monitor.at_us} /></p>
    <div class="action-row">
      ${others.map((mode) => html`<button key=${mode} onClick=${() => ask("monitor", { ...fields, mode }, t(`ask_monitor_${mode}`, values))}>${t(`mode_${mode}`)}</button>`)}
      <button onClick=${() => ask("stop_monitor", fields, t("ask_stop_monitor", values))}>${t("act_stop_monitor")}</button>
    </div>
  </li>`;
}

/** Who listens, and the way in. Their own phone is remembered on this machine. */
export function Listen({ wall, contact, again }) {
  const [ask, confirmation] = useActing(wall, again);
  const [listener, setListener] = useState(() => localStorage.getItem(KEPT) || "");
  const nameOf = (id) => wall.board.agents.get(id)?.name || id;
  const monitors = contact.monitors || [];
  const taken = new Set([contact.agent || contact.last_agent, ...monitors.map((each) => each.agent)]);
  const phones = [...wall.board.agents.values()].filter((each) => !taken.has(each.id)).sort((a, b) => (a.name || a.id).localeCompare(b.name || b.id));
  const chosen = phones.some((each) => each.id === listener) ? listener : "";
  const choose = (id) => {
    localStorage.setItem(KEPT, id);
    setListener(id);
  };
  const begin = (mode) => ask("monitor", { contact: contact.id, agent: chosen, mode }, t(`ask_monitor_${mode}`, { agent: nameOf(chosen), contact: shortId(contact.id) }));
  return html`<section class="listen">
    <h3 class="drill-words">${t("listening")}</h3>
    <p class="quiet drill-words">${t("listen_words")}</p>
    <div class="actions">
      ${monitors.length > 0 && html`<ul>${monitors.map((each) => html`<${Listening} key=${each.id} contact=${contact} monitor=${each} nameOf=${nameOf} ask=${ask} />`)}</ul>`}
      <div class="action-row">
        <select id="listener" aria-label=${t("listen_as")} value=${chosen} onChange=${(event) => choose(event.target.value)}>
          <option value="">${t("listen_as")}</option>
          ${phones.map((each) => html`<option key=${each.id} value=${each.id}>${each.name || each.id}</option>`)}
        </select>
        ${MODES.map((mode) => html`<button key=${mode} disabled=${!chosen} onClick=${() => begin(mode)}>${t(`mode_${mode}`)}</button>`)}
      </div>
      ${confirmation}
    </div>
  </section>`;
}
