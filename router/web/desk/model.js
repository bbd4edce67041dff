// What the desk knows: the dictionaries of the protocol, replaced by id, and what can be read off them.
// Pure: no DOM, no socket. The server's objects are never changed here, only replaced.

import { pausesIn } from "../page/pauses.js";

const OVER = new Set(["done", "rejected", "expired", "rescinded", "failed"]);
const SERVING = new Set(["accepted", "connecting", "connected", "suspended"]);

/** Is the agent at work on it? Not in an offer, and not in wrap-up, which ends by itself. */
export const isServing = (reservation) => SERVING.has(reservation.state);

const DELIVERIES = 1000;

/** Nothing known yet. */
export function emptyDesk() {
  return { agent: null, shift: null, directory: {}, pauses: new Map(), reservations: new Map(), contacts: new Map(), messages: new Map(), delivery: new Map() };
}

/** The full state of a welcome replaces everything, but keeps older messages that were loaded. */
export function applyWelcome(desk, frame) {
  desk.agent = frame.agent;
  desk.shift = frame.shift || null;
  desk.directory = frame.directory || {};
  desk.pauses = pausesIn(frame.paused);
  desk.reservations = new Map((frame.reservations || []).map((each) => [each.id, each]));
  desk.contacts = new Map((frame.contacts || []).map((each) => [each.id, each]));
  for (const id of [...desk.messages.keys()]) if (!desk.contacts.has(id)) desk.messages.delete(id);
  for (const contact of desk.contacts.values()) addMessages(desk, contact.id, contact.messages || []);
}

/** One push: the objects beside the event, whole. */
export function applyEvent(desk, frame) {
  if (frame.agent) desk.agent = frame.agent;
  if (frame.reservation) {
    if (OVER.has(frame.reservation.state)) desk.reservations.delete(frame.reservation.id);
    else desk.reservations.set(frame.reservation.id, frame.reservation);
  }
  if (frame.contact) {
    desk.contacts.set(frame.contact.id, afterClosing(desk, frame));
    addMessages(desk, frame.contact.id, frame.contact.messages || []);
  }
  if (frame.message) addMessages(desk, frame.message.contact, [frame.message]);
  const { event } = frame;
  if (event?.type === "EffectSettled" && event.message) {
    // A receipt may overtake the word that it was sent, and says more.
    if (event.result !== "done" || !desk.delivery.has(event.message)) desk.delivery.set(event.message, event.result);
    // Open all day: the oldest goes (a Map keeps its order).
    if (desk.delivery.size > DELIVERIES) desk.delivery.delete(desk.delivery.keys().next().value);
  }
  // A contact stays as long as it is held (wrap-up too), or parked with me.
  for (const id of new Set([frame.contact?.id, frame.reservation?.contact])) {
    if (id && !keeps(desk, id)) forget(desk, id);
  }
}

/** Of a contact that has just been closed only that is told: whom it is about is known, and wanted until wrap-up ends. */
function afterClosing(desk, { contact, event }) {
  if (contact.state !== "closed" || contact.channel) return contact;
  const { outcome } = event || {};
  return { ...desk.contacts.get(contact.id), ...contact, ...(outcome && { outcome }) };
}

/** How contacts of a queue can end, and whether the agent must say it. */
export function dispositionsOf(desk, queue) {
  const settings = (desk.known.directory.queues || []).find((each) => each.id === queue) || {};
  return { known: settings.dispositions || [], required: !!settings.require_disposition };
}

function keeps(desk, id) {
  const contact = desk.contacts.get(id);
  if (!contact) return false;
  if (reservationOf(desk, id)) return true;
  if (contact.consult_of && contact.state !== "closed" && reservationOf(desk, contact.consult_of)) return true;
  return contact.state === "parked" && contact.last_agent === desk.agent?.id && contact.mine !== false;
}

function forget(desk, id) {
  desk.contacts.delete(id);
  desk.messages.delete(id);
}

/** Add messages to a conversation: by id, in time order. */
export function addMessages(desk, contact, messages) {
  const known = new Map((desk.messages.get(contact) || []).map((each) => [each.id, each]));
  for (const each of messages) known.set(each.id, each);
  const sorted = [...known.values()].sort((a, b) => a.at_us - b.at_us || (a.id < b.id ? -1 : 1));
  desk.messages.set(contact, sorted);
}

/** This agent's open reservation of a contact. */
export function reservationOf(desk, contact) {
  for (const each of desk.reservations.values()) if (each.contact === contact) return each;
  return undefined;
}

/** Offers, the one that ends first on top. */
export function offers(desk) {
  return [...desk.reservations.values()]
    .filter((each) => each.state === "offered")
    .sort((a, b) => a.deadline_at_us - b.deadline_at_us || (a.id < b.id ? -1 : 1));
}

/** Does the channel have a media leg (voice), and may it be parked? */
export function channelOf(desk, name) {
  const known = (desk.directory.channels || []).find((each) => each.name === name);
  return known || { name, media: name === "voice", parks: name !== "voice" };
}

/** What can be done with a call: hold, record, confer; and whether all three are together now. */
export function callOf(desk, contact, reservation) {
  const media = channelOf(desk, contact.channel).media;
  const connected = media && reservation?.state === "connected" && !contact.consult_of;
  const consulted = !!contact.consult && desk.contacts.get(contact.consult)?.state === "active";
  const together = !!reservation?.conference;
  return {
    // While somebody consulted is on the line the customer stays on hold, or is in the conference.
    canHold: connected && !together && !(consulted && reservation.hold_at_us),
    canRecord: connected,
    canConfer: connected && (consulted || together),
    together,
  };
}

/** Since when the customer waits for me in this contact; 0 = they do not. */
export function waitsSince(desk, contact, reservation) {
  if (!reservation || !SERVING.has(reservation.state)) return 0;
  if (reservation.state === "suspended") return 0;
  if (reservation.hold_at_us) return reservation.hold_at_us;
  if (channelOf(desk, contact.channel).media) return reservation.connected_at_us || reservation.accepted_at_us || 1;
  let since = 0;
  for (const message of [...(desk.messages.get(contact.id) || [])].reverse()) {
    if (message.from === "agent") break;
    if (message.from === "customer") since = message.at_us;
  }
  return since;
}

/** My work in its groups: waiting for me (longest first), with the customer, wrapping up, parked. */
export function work(desk) {
  const groups = { mine: [], theirs: [], wrapping: [], parked: [] };
  for (const contact of desk.contacts.values()) {
    const reservation = reservationOf(desk, contact.id);
    if (reservation?.state === "offered") continue;
    // My own consult of somebody else: shown with the contact that it is about.
    if (!reservation && contact.consult_of) continue;
    const since = waitsSince(desk, contact, reservation);
    const media = channelOf(desk, contact.channel).media;
    const row = { contact, reservation, since, talking: media && !!since && !reservation?.hold_at_us };
    if (reservation?.state === "wrapping") groups.wrapping.push(row);
    else if (!reservation) groups.parked.push(row);
    else if (since) groups.mine.push(row);
    else groups.theirs.push(row);
  }
  // Somebody on the line comes first, whoever wrote when.
  groups.mine.sort((a, b) => b.talking - a.talking || a.since - b.since || order(a, b));
  groups.theirs.sort((a, b) => (b.contact.last_message_at_us || 0) - (a.contact.last_message_at_us || 0) || order(a, b));
  groups.wrapping.sort((a, b) => a.reservation.deadline_at_us - b.reservation.deadline_at_us || order(a, b));
  groups.parked.sort((a, b) => (b.contact.parked_at_us || 0) - (a.contact.parked_at_us || 0) || order(a, b));
  return groups;
}

const order = (a, b) => (a.contact.id < b.contact.id ? -1 : 1);

/** All rows of the list, as they stand on the screen. */
export function rows(groups) {
  return [...groups.mine, ...groups.theirs, ...groups.wrapping, ...groups.parked];
}

/** How the customer is called on the screen. */
export function nameOf(contact, erased) {
  const peer = contact.peer || {};
  if (peer.erased) return erased;
  return peer.name || peer.address || contact.customer || contact.id;
}

/** What happened while away, counted by kind, for one sentence. */
export function meanwhile(missed) {
  const counts = {};
  for (const { event } of missed || []) counts[event.type] = (counts[event.type] || 0) + 1;
  return counts;
}
