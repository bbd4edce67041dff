// The line that is read from across the room: level, waiting, longest wait, agents, channels.

import { Since } from "../page/clock.js";
import { share } from "../page/format.js";
import { Mark } from "../page/icons.js";
import { t } from "../page/texts.js";
import { html } from "../page/view.js";
import { levelMeaning } from "./model.js";

const channelMarks = { up: "good", degraded: "attention", down: "bad", starting: "neutral" };

/** A bar from 0 to 100 % with the mark of the goal, also while nothing is measured. */
export function LevelBar({ level, goal }) {
  const meaning = levelMeaning(level, goal);
  return html`<span class=${`level ${meaning}`} aria-hidden="true">
    <span class="level-fill" style=${{ width: `${(level || 0) * 100}%` }} />
    ${goal > 0 && html`<span class="level-mark" style=${{ left: `calc(${goal * 100}% - 1px)` }} />`}
  </span>`;
}

function Tile({ name, label = name, title, meaning, children, below }) {
  return html`<section class="tile" title=${title} tabindex=${title ? 0 : undefined} aria-label=${label}>
    <h2 class="tile-name">${name}</h2>
    <p class=${`tile-value ${meaning || ""}`}>${children}</p>
    <div class="tile-below">${below}</div>
  </section>`;
}

/** Longest wait counts by itself; nobody waiting is a calm dash. */
function Longest({ totals, queues }) {
  const where = [...queues.values()].find((each) => each.oldest_at_us && each.oldest_at_us === totals.oldest_at_us);
  const words = totals.oldest_at_us ? where?.id || "" : t("nobody_waits");
  return html`<${Tile} name=${t("longest")} below=${html`<span class="quiet cut">${words}</span>`}>
    <${Since} at=${totals.oldest_at_us} />
  <//>`;
}

/** What is measured says how, on hover and focus. */
export function Headline({ board }) {
  const { totals, formulas, channels } = board;
  const { ready = 0, not_ready: notReady = 0, offline = 0 } = totals.agents || {};
  const { service_level: level, goal } = totals;
  const formula = t("formula", { formula: formulas.service_level || "" });
  return html`<div class="headline">
    <${Tile}
      name=${t("service_level")}
      title=${goal ? `${formula}\n${t("goal", { share: share(goal) })}` : formula}
      below=${html`<${LevelBar} level=${level} goal=${goal} />`}
      ><${Mark} meaning=${levelMeaning(level, goal)} /> ${share(level)}${goal > 0 && html` <span class="goal">/ ${share(goal)}</span>`}<//
    >
    <${Tile} name=${t("waiting")} below=${html`<span class="quiet">${t("active_parked", { active: totals.active || 0, parked: totals.parked || 0 })}</span>`}>
      ${totals.waiting || 0}
    <//>
    <${Longest} totals=${totals} queues=${board.queues} />
    <${Tile} name=${t("agents")} label=${t("agents_presence")} below=${html`<span class="quiet">${t("answered_abandoned", { answered: totals.answered || 0, abandoned: totals.abandoned || 0 })}</span>`}>
      <span class="counts">
        <span title=${t("presence_ready")}><${Mark} meaning="good" label=${t("presence_ready")} /> ${ready}</span>
        <span title=${t("presence_not_ready")}><${Mark} meaning="attention" shape="still" label=${t("presence_not_ready")} /> ${notReady}</span>
        <span title=${t("presence_offline")}><${Mark} meaning="neutral" label=${t("presence_offline")} /> ${offline}</span>
      </span>
    <//>
    <section class="tile channels" aria-label=${t("channels")}>
      <h2 class="tile-name">${t("channels")}</h2>
      <ul>
        ${[...channels.values()].map(
          (each) => html`<li key=${each.name} title=${[t(`adapter_${each.state}`), each.detail].filter(Boolean).join(": ")}>
            <${Mark} meaning=${channelMarks[each.state] || "neutral"} label=${t(`adapter_${each.state}`)} />
            <span class="cut">${each.name}</span>
            ${each.outbox > 0 && html`<span class="quiet">${each.outbox}</span>`}
          </li>`,
        )}
        ${!channels.size && html`<li class="quiet">–</li>`}
      </ul>
    </section>
  </div>`;
}
