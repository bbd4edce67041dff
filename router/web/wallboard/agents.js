// Agents as a dense grid: presence by shape and colour, load in units, time in state.

import { Since } from "../page/clock.js";
import { Mark, presenceMark } from "../page/icons.js";
import { t, word } from "../page/texts.js";
import { presenceWords } from "../page/words.js";
import { html, memo, useMemo, useRef, useState } from "../page/view.js";
import { Rows } from "./rows.js";

const TILE_HEIGHT = 68;
const TILE_WIDTH = 168;

const rank = { ready: 0, not_ready: 1, offline: 2 };

const names = new WeakMap();

/** The name to sort and search by: made once for each object that the server sent. */
function sortName(agent) {
  let name = names.get(agent);
  if (name === undefined) {
    name = `${agent.name || agent.id} ${agent.id}`.toLowerCase();
    names.set(agent, name);
  }
  return name;
}

const needsLook = (agent) => (agent.reason === "rona" || agent.lost_at_us ? 0 : 1);

/** Those who need a look first: missed offers and lost desks, then working, ready, not ready, offline. */
function order(a, b) {
  return (
    needsLook(a) - needsLook(b) ||
    rank[a.presence] - rank[b.presence] ||
    (b.load || 0) - (a.load || 0) ||
    (sortName(a) < sortName(b) ? -1 : 1)
  );
}

/** All agents in order, begun from the order they had: a list that is nearly sorted is sorted in one pass. */
function inOrder(agents, before) {
  const list = [];
  for (const { id } of before) if (agents.has(id)) list.push(agents.get(id));
  if (list.length < agents.size) {
    const known = new Set(before.map((agent) => agent.id));
    for (const agent of agents.values()) if (!known.has(agent.id)) list.push(agent);
  }
  return list.sort(order);
}

/** What an agent is busy with, in two words: the channels with their counts. */
function busyWith(agent) {
  const held = Object.entries(agent.by_channel || {}).filter(([, count]) => count);
  if (!held.length) return presenceWords(agent.presence, agent.reason);
  return held.map(([channel, count]) => (count > 1 ? `${word("channel", channel)} ×${count}` : word("channel", channel))).join(", ");
}

function stateSince(agent) {
  const since = (agent.reservations || []).map((each) => each.since_at_us).filter(Boolean);
  return since.length ? Math.min(...since) : agent.presence_at_us;
}

const Tile = memo(function Tile({ agent, chosen, wall }) {
  const share = agent.capacity ? Math.min(1, (agent.load || 0) / agent.capacity) : 0;
  const said = `${agent.name || agent.id}: ${presenceWords(agent.presence, agent.reason)}, ${t("load_words", { load: agent.load || 0, capacity: agent.capacity || 0 })}`;
  return html`<button class="agent-tile" data-agent=${agent.id} data-presence=${agent.presence} aria-pressed=${chosen} title=${said} onClick=${() => wall.go({ agent: agent.id })}>
    <span class="line"><${Mark} ...${presenceMark(agent.presence, agent.lost_at_us ? "lost" : agent.reason)} /><strong class="cut grow">${agent.name || agent.id}</strong></span>
    <span class="line quiet"><span class="cut grow">${busyWith(agent)}</span><${Since} at=${stateSince(agent)} /></span>
    <span class="units" aria-hidden="true"><span style=${{ width: `${share * 100}%` }} /></span>
  </button>`;
});

/** Names, ids and reasons can be searched; presence can be narrowed. */
export function Agents({ wall, agents, chosen }) {
  const [typed, setTyped] = useState("");
  const [only, setOnly] = useState("");
  const version = wall.store.version;
  const last = useRef([]);
  const shown = useMemo(() => {
    const wanted = typed.trim().toLowerCase();
    last.current = inOrder(agents, last.current);
    return last.current
      .filter((agent) => !only || agent.presence === only)
      .filter((agent) => !wanted || `${sortName(agent)} ${agent.reason || ""} ${agent.profile || ""}`.includes(wanted));
  }, [version, typed, only]);
  return html`<section class="panel agents" aria-label=${t("agents")}>
    <header class="panel-head">
      <h2>${t("agents")} <span class="quiet">${shown.length}</span></h2>
      <span class="grow" />
      <select aria-label=${t("presence")} value=${only} onChange=${(event) => setOnly(event.target.value)}>
        <option value="">${t("everybody")}</option>
        ${["ready", "not_ready", "offline"].map((each) => html`<option key=${each} value=${each}>${t(`presence_${each}`)}</option>`)}
      </select>
      <input id="agent-filter" type="search" aria-label=${t("find_agent")} placeholder=${t("find_agent")} value=${typed} onInput=${(event) => setTyped(event.target.value)} />
    </header>
    ${shown.length
      ? html`<${Rows}
          className="agent-grid"
          label=${t("agents")}
          items=${shown}
          height=${TILE_HEIGHT}
          across=${TILE_WIDTH}
          keyOf=${(agent) => agent.id}
          draw=${(agent) => html`<${Tile} agent=${agent} chosen=${chosen === agent.id} wall=${wall} />`}
        />`
      : html`<div class="empty"><p>${agents.size ? t("no_match") : t("no_agents")}</p></div>`}
  </section>`;
}
