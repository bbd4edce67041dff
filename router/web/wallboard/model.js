// What the wallboard knows: the board's objects by id, as the server sent them, and what is read off them.
// Pure. Objects are replaced, never changed, so a row is drawn again only when its object is another.

import { pausesIn } from "../page/pauses.js";
import { isTold } from "../page/words.js";

export const KINDS = ["queues", "agents", "contacts"];
const LOG = 40;

/** Nothing known yet. */
export function emptyBoard() {
  return {
    loaded: false,
    queues: new Map(),
    agents: new Map(),
    contacts: new Map(),
    channels: new Map(),
    pauses: new Map(),
    totals: {},
    formulas: {},
    directory: {},
    contactsMore: false,
    waiting: new Map(),
    log: [],
    putAside: 0,
  };
}

/** The whole board, after connecting. */
export function applyBoardWelcome(board, frame) {
  const { queues = [], agents = [], contacts = [], channels = [], totals = {} } = frame.board;
  board.loaded = true;
  board.queues = byId(queues);
  board.agents = byId(agents);
  board.contacts = byId(contacts);
  applyChannels(board, channels);
  board.pauses = pausesIn(frame.paused);
  board.contactsMore = !!frame.board.contacts_more;
  board.totals = totals;
  board.formulas = frame.formulas || {};
  board.directory = frame.directory || {};
  group(board);
}

/** What changed: whole objects by id, and ids that are gone. */
export function applyDelta(board, frame) {
  for (const kind of KINDS) {
    for (const each of frame[kind] || []) board[kind].set(each.id, each);
    for (const id of frame.gone?.[kind] || []) board[kind].delete(id);
  }
  if (frame.channels) applyChannels(board, frame.channels);
  if (frame.totals) board.totals = frame.totals;
  if (frame.contacts || frame.gone?.contacts) group(board);
  const told = (frame.events || []).filter((event) => isTold(event) && !(event.type === "EffectSettled" && event.result === "done"));
  board.putAside += told.filter((event) => event.type === "CommandDeadLettered").length;
  if (told.length) board.log = [...told.reverse(), ...board.log].slice(0, LOG);
}

/** The channels' states, whole. */
export function applyChannels(board, channels = []) {
  board.channels = new Map(channels.map((each) => [each.name, each]));
}

const byId = (list) => new Map(list.map((each) => [each.id, each]));

/** Waiting contacts by queue, in the order in which they will be served. */
function group(board) {
  const groups = new Map();
  for (const contact of board.contacts.values()) {
    if (contact.state !== "queued" && contact.state !== "offered") continue;
    if (!groups.has(contact.queue)) groups.set(contact.queue, []);
    groups.get(contact.queue).push(contact);
  }
  for (const list of groups.values()) list.sort(byKey);
  // A queue whose line did not change keeps its list: its row is then not drawn again.
  for (const [queue, list] of groups) {
    const before = board.waiting.get(queue);
    if (before && before.length === list.length && before.every((each, place) => each === list[place])) {
      groups.set(queue, before);
    }
  }
  board.waiting = groups;
}

/** The key of a contact: (tier, due - head start); the smaller one is served first. */
export function byKey(a, b) {
  return (
    (a.tier || 0) - (b.tier || 0) ||
    (a.due_at_us || 0) - (a.head_start_us || 0) - ((b.due_at_us || 0) - (b.head_start_us || 0)) ||
    (a.id < b.id ? -1 : 1)
  );
}

/** Contacts received in each of the last quarters of an hour, over all channels; the running one last. */
export function arrivals(queue) {
  const lines = Object.values(queue.by_channel || {}).map((each) => each.arrivals || []);
  const most = Math.max(0, ...lines.map((each) => each.length));
  return Array.from({ length: most }, (_, place) => lines.reduce((sum, each) => sum + (each[place] || 0), 0));
}

/** How many of a line have waited below half the target, up to it, up to twice, and longer. */
export function ages(list, nowUs) {
  const counts = [0, 0, 0, 0];
  for (const contact of list) {
    const target = (contact.due_at_us || 0) - (contact.visit_at_us || 0);
    const waited = (nowUs - (contact.visit_at_us || nowUs)) / Math.max(1, target);
    counts[waited < 0.5 ? 0 : waited < 1 ? 1 : waited < 2 ? 2 : 3] += 1;
  }
  return counts;
}

/** What a share of service says against its goal: good, attention, bad, or neutral when nothing is measured. */
export function levelMeaning(share, goal) {
  if (typeof share !== "number" || !goal) return "neutral";
  if (share >= goal) return "good";
  return share >= goal - 0.2 ? "attention" : "bad";
}

/** The smallest target among the channels on which somebody waits; 0 = nobody. */
export function strictestTarget(queue) {
  const waiting = Object.values(queue.by_channel || {}).filter((each) => each.waiting && each.target_us);
  return waiting.length ? Math.min(...waiting.map((each) => each.target_us)) : 0;
}

/** What needs a supervisor now: [{ key, meaning, text, values, to }], the worst first. */
export function attention(board, nowUs) {
  const found = [];
  if (board.putAside) found.push({ key: "aside", meaning: "bad", text: "alarm_aside", values: { n: board.putAside } });
  for (const channel of board.channels.values()) {
    if (channel.state === "up" || channel.state === "starting") continue;
    const meaning = channel.state === "down" ? "bad" : "attention";
    found.push({ key: `ch-${channel.name}`, meaning, text: `alarm_channel_${channel.state}`, values: { name: channel.name, detail: channel.detail || "" } });
  }
  for (const queue of board.queues.values()) {
    const to = { queue: queue.id };
    if (queue.waiting && !queue.agents_ready) {
      found.push({ key: `q-${queue.id}`, meaning: "bad", text: "alarm_nobody", values: { queue: queue.id, n: queue.waiting }, to });
    } else {
      const late = overdue(queue, nowUs);
      if (late) found.push({ key: `q-${queue.id}`, meaning: "attention", text: "alarm_late", values: { queue: queue.id, channel: late.channel, since: late.oldest }, to });
    }
  }
  for (const agent of board.agents.values()) {
    if (agent.presence !== "not_ready" || (agent.reason !== "rona" && agent.reason !== "lost")) continue;
    found.push({ key: `a-${agent.id}`, meaning: "attention", text: `alarm_${agent.reason}`, values: { agent: agent.name || agent.id }, to: { agent: agent.id } });
  }
  return found.sort((a, b) => (a.meaning === "bad" ? 0 : 1) - (b.meaning === "bad" ? 0 : 1));
}

/** The channel of a queue whose longest wait is beyond twice its target. */
function overdue(queue, nowUs) {
  for (const [channel, line] of Object.entries(queue.by_channel || {})) {
    if (!line.waiting || !line.oldest_at_us || !line.target_us) continue;
    if (nowUs - line.oldest_at_us > 2 * line.target_us) return { channel, oldest: line.oldest_at_us };
  }
  return null;
}
