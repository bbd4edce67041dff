// The line that is read from across the room: level, waiting, longest wait, agents, channels.

import { Since } from "../page/clock.js";
import { share } from "../page/format.js";
import { Mark } from "../page/icons.js";
import { t } from "../page/texts.js";
import { html } from "../page/view.js";
import { levelMeaning } from "./model.js";

/** From the worst. */
const STATES = ["down", "degraded", "starting", "up"];
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

/** In words, for whoever cannot see the mark or stands far away. */
const channelWords = (each) => [t(`adapter_${each.state}`), each.detail].filter(Boolean).join(": ");

function ChannelLine({ channel }) {
  const { name, state, outbox } = channel;
  const trouble = state === "down" || state === "degraded";
  const waiting = outbox > 0 ? t("channels_outbox", { n: outbox }) : "";
  return html`<li data-channel=${name} data-state=${state} class=${trouble ? "trouble" : ""} title=${[channelWords(channel), waiting].filter(Boolean).join(", ")}>
    <${Mark} meaning=${channelMarks[state] || "neutral"} label=${t(`adapter_${state}`)} />
    <span class="cut"><strong>${name}</strong>${trouble && html` <span>${channelWords(channel)}</span>`}</span>
    ${outbox > 0 && html`<span class="quiet">${outbox}</span>`}
  </li>`;
}

/** The worst state in large letters with its count; then each channel, those in trouble first and with why. */
function Channels({ channels, onPause }) {
  const all = [...channels.values()];
  const worst = STATES.find((state) => all.some((each) => each.state === state)) || "up";
  const count = all.filter((each) => each.state === worst).length;
  const words = !all.length ? "–" : worst === "up" ? t("channels_all_up") : t(`channels_${worst}`, { n: count });
  const meaning = all.length ? channelMarks[worst] : "neutral";
  all.sort((a, b) => STATES.indexOf(a.state) - STATES.indexOf(b.state));
  return html`<section class="tile channels" data-worst=${worst} aria-label=${t("channels")}>
    <div class="line"><h2 class="tile-name grow">${t("channels")}</h2><button class="link" onClick=${onPause}>${t("pause_open")}</button></div>
    <p class=${`tile-value ${meaning}`} role="status"><${Mark} meaning=${meaning} /> ${words}</p>
    <ul>${all.map((each) => html`<${ChannelLine} key=${each.name} channel=${each} />`)}</ul>
  </section>`;
}

/** What is measured says how, on hover and focus. */
export function Headline({ board, onPause }) {
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
    <${Channels} channels=${channels} onPause=${onPause} />
  </div>`;
}
