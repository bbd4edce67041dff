// The desk's state and what an agent can do with it. Components read `desk.view` and call methods.

import { now } from "../page/clock.js";
import { withAgents } from "../page/directory.js";
import { pausesIn } from "../page/pauses.js";
import { Store } from "../page/store.js";
import { has, t, word } from "../page/texts.js";
import { Drafts } from "./drafts.js";
import { addMessages, applyEvent, applyWelcome, emptyDesk, isServing, meanwhile, offers, rows, work } from "./model.js";

const NOTICES = 3;
const INFORMED_MS = 30_000;
const TYPING_MS = 5000;
const TOLD_MS = 3000;
const LEAVING_MS = 10_000;

/** A reference for a message, by which it is known again whatever happens to the connection. */
const newReference = () => `m${crypto.randomUUID().replaceAll("-", "").slice(0, 20)}`;

export class DeskState {
  constructor(session) {
    this.session = session;
    this.known = emptyDesk();
    this.drafts = new Drafts(`${session.workspace}.${session.agent}`);
    this.view = { connection: null, chosen: "", main: "", kept: "", notices: [], spoken: "", sheet: "", busy: new Set(), refused: new Set() };
    this.store = new Store({ view: this.view });
    this.noticeNo = 0;
    this.typing = new Map(); // contact -> when its customer was last seen typing
    this.choices = 0; // made by the agent so far
  }

  connect(connection) {
    this.connection = connection;
    this.view.connection = connection;
  }

  welcome(frame) {
    const before = this.known.agent;
    applyWelcome(this.known, frame);
    if (before || frame.resumed) this.tellMeanwhile(frame);
    this.settleDrafts();
    this.keepChoice();
    this.store.soon();
  }

  push(frame) {
    if (frame.type === "tick") this.known.shift = frame.shift || null;
    if (frame.type === "paused") this.known.pauses = pausesIn(frame.channels);
    if (frame.type === "directory") this.known.directory = frame.directory;
    if (frame.type === "directory_agents") this.known.directory = withAgents(this.known.directory, frame);
    if (frame.type === "typing") {
      this.typing.set(frame.contact, Date.now());
      setTimeout(() => this.store.soon(), TYPING_MS);
    }
    if (frame.type === "event") {
      applyEvent(this.known, frame);
      this.tell(frame.event);
      if (frame.event.type === "MessageReceived") this.typing.delete(frame.event.contact);
      this.settleDrafts();
      this.keepChoice();
    }
    this.store.soon();
  }

  /** Is the customer of this contact typing? */
  isTyping(contact) {
    const at = this.typing.get(contact);
    if (at && Date.now() - at >= TYPING_MS) this.typing.delete(contact);
    return this.typing.has(contact);
  }

  /** The agent writes: the customer is told now and then, as long as the line is there. */
  types(contact) {
    if (this.typedTo === contact && Date.now() - this.typedAt < TOLD_MS) return;
    this.typedTo = contact;
    this.typedAt = Date.now();
    this.connection.tell({ type: "typing", contact });
  }

  /** Choose a contact to work on. */
  choose(contact) {
    this.choices += 1;
    this.view.chosen = contact;
    if (contact !== this.view.kept) this.view.main = contact;
    this.view.sheet = "";
    this.view.aside = false;
    this.store.touch();
  }

  /** The contacts that stand side by side: the one worked on, and one that is kept beside it. */
  panes() {
    const { main, kept, chosen } = this.view;
    const found = [main, kept].filter((id, place, all) => this.known.contacts.has(id) && all.indexOf(id) === place);
    return found.length ? found : [chosen];
  }

  /** Keep the chosen contact beside whichever is chosen next, or put away what is kept. */
  keepBeside() {
    const { kept, chosen } = this.view;
    this.view.kept = kept ? "" : chosen;
    if (kept) this.view.main = chosen;
    this.store.touch();
  }

  /** To the other one of the two that stand side by side. */
  swap() {
    const other = this.panes().find((id) => id !== this.view.chosen);
    if (other) this.choose(other);
    return !!other;
  }

  /** Choose the next contact of the list (1) or the one before (-1). */
  step(by) {
    const all = rows(work(this.known)).map((row) => row.contact.id);
    if (!all.length) return;
    const place = all.indexOf(this.view.chosen);
    this.choose(all[(place + by + all.length) % all.length] ?? all[0]);
  }

  /** Open a sheet below the conversation ("transfer", "consult", "complete", "requeue"), or close it with "". */
  open(sheet) {
    this.view.sheet = this.view.sheet === sheet ? "" : sheet;
    this.store.touch();
  }

  /** What an open sheet was for is done: close it, unless another one, or another contact, was opened meanwhile. */
  done(sheet, contact) {
    if (this.view.sheet !== sheet || this.view.chosen !== contact) return;
    this.view.sheet = "";
    this.store.touch();
  }

  /** Send a command. What is refused is said, in words; gives true when it was carried out. */
  async act(type, fields, what) {
    // The same twice is a slip of the finger; another one is meant, whether or not this one was answered.
    const key = `${type}/${fields.reservation || fields.contact || ""} ${JSON.stringify(fields)}`;
    if (this.view.busy.has(key)) return false;
    this.view.busy.add(key);
    this.store.touch();
    try {
      return await this.connection.command(type, fields);
    } catch (error) {
      this.notice("bad", t("refused", { what: what || t(`act_${type}`), why: this.why(error) }));
      return false;
    } finally {
      this.view.busy.delete(key);
      this.store.touch();
    }
  }

  accept(offer) {
    if (!offer) return;
    const choices = this.choices;
    this.act("accept", { reservation: offer.id }).then((done) => {
      // Do not take away what is being typed or chosen: the events of the acceptance come before its
      // answer, so the agent may be at work on the contact already.
      const composing = document.activeElement?.tagName === "TEXTAREA" && document.activeElement.value;
      if (done && !composing && !this.view.sheet && choices === this.choices) this.choose(offer.contact);
    });
  }

  /** Send what is written. It stays on the screen, and in storage, until the server has it. */
  send(contact, text, id = newReference()) {
    this.drafts.sending(contact, id, text);
    this.view.busy.add(`send/${id}`);
    this.view.refused.delete(id);
    this.store.touch();
    this.connection
      .command("send", { contact, text, message: id })
      .catch((error) => {
        this.view.refused.add(id);
        this.notice("bad", t("refused", { what: t("act_send"), why: this.why(error) }));
      })
      .finally(() => {
        this.view.busy.delete(`send/${id}`);
        this.store.touch();
      });
  }

  /** Send the draft. */
  sendDraft(contact, text) {
    this.drafts.write(contact, "");
    this.send(contact, text);
  }

  /** Older messages came over HTTP. */
  older(contact, messages) {
    addMessages(this.known, contact, messages);
    this.store.touch();
  }

  /** Give up a message that was never confirmed; its text becomes the draft again. */
  takeBack(contact, unsent) {
    const draft = this.drafts.read(contact);
    this.drafts.settled(contact, unsent.id);
    this.drafts.write(contact, draft ? `${draft}\n${unsent.text}` : unsent.text);
    this.store.touch();
  }

  /** Tell something above the conversation. What only informs goes by itself; the same thing twice stands once. */
  notice(meaning, text) {
    this.noticeNo += 1;
    const id = this.noticeNo;
    const others = this.view.notices.filter((each) => each.text !== text);
    this.view.notices = [...others, { id, meaning, text, at: now() }].slice(-NOTICES);
    if (meaning === "neutral") setTimeout(() => this.dismiss(id), INFORMED_MS);
    this.store.touch();
  }

  dismiss(id) {
    this.view.notices = this.view.notices.filter((each) => each.id !== id);
    this.store.touch();
  }

  /** A contact's or reservation's command is on its way. */
  isBusy(type, id = "") {
    return [...this.view.busy].some((each) => each.startsWith(`${type}/${id} `));
  }

  agentName(id) {
    if (id === this.known.agent?.id) return t("you");
    return (this.known.directory.agents || []).find((each) => each.id === id)?.name || id;
  }

  why(error) {
    const known = word("code", error.code);
    return known === String(error.code).replaceAll("_", " ") ? error.message || known : known;
  }

  /** Messages that the server has told us of, with our reference, are no longer unsent. */
  settleDrafts() {
    for (const [contact, messages] of this.known.messages) {
      for (const { id } of this.drafts.unsent(contact)) {
        if (messages.some((each) => each.ref === id)) this.drafts.settled(contact, id);
      }
    }
  }

  /** Something is always chosen while there is work. */
  keepChoice() {
    const { contacts } = this.known;
    if (!contacts.has(this.view.kept)) this.view.kept = "";
    if (!contacts.has(this.view.main)) this.view.main = "";
    if (contacts.has(this.view.chosen)) return;
    const first = rows(work(this.known)).find((row) => row.reservation && row.contact.id !== this.view.kept);
    this.view.chosen = this.view.main || first?.contact.id || this.view.kept;
    if (this.view.chosen !== this.view.kept) this.view.main = this.view.chosen;
    this.view.sheet = "";
  }

  /** What a screen reader hears, and what must not be missed. */
  tell(event) {
    if (event.type === "ContactOffered") {
      this.view.spoken = t("spoken_offer", { channel: word("channel", event.channel), queue: event.queue });
    } else if (event.type === "OfferExpired") {
      this.notice("attention", t("notice_rona"));
    } else if (event.type === "PresenceChanged") {
      this.tellPresence(event);
    } else if (event.type === "OfferRescinded") {
      this.view.spoken = t("spoken_rescinded");
    } else if (event.type === "ReservationFailed") {
      this.notice("attention", t("notice_failed", { reason: word("reason", event.reason) }));
    } else if (event.type === "ReservationSuspended") {
      this.view.spoken = t("notice_suspended");
    } else if (event.type === "EffectSettled" && event.message && has(`notice_message_${event.result}`)) {
      this.notice("bad", t(`notice_message_${event.result}`));
    } else if (event.type === "MessageReceived") {
      this.view.spoken = t("spoken_message");
    }
  }

  /** What a supervisor changed is said; the agent's own choice is where they made it. */
  tellPresence({ presence, by = "" }) {
    if (presence === "ready") this.view.notices = this.view.notices.filter((each) => each.text !== t("notice_rona"));
    const [, name] = /^\w+:(.+)$/.exec(by) || [];
    if (!name || by === `agent:${this.known.agent.id}`) return;
    this.notice("attention", t("notice_presence", { by: name, presence: t(`presence_${presence}`) }));
  }

  tellMeanwhile(frame) {
    const counts = meanwhile(frame.missed);
    const said = Object.entries(counts)
      .map(([type, n]) => t(`meanwhile_${type}`, { n }))
      .filter((text) => !text.startsWith("meanwhile_"));
    if (said.length) this.notice("neutral", t("meanwhile", { list: said.join(", ") }));
    else if (!frame.resumed) this.notice("neutral", t("meanwhile_restarted"));
  }

  /**
   * May the agent sign out? Who holds contacts is told so first. Who holds none goes offline: nobody is to take an
   * agent who went home for one whose desk was cut.
   */
  async leave() {
    const n = [...this.known.reservations.values()].filter((each) => isServing(each)).length;
    if (n && this.toldOf !== n) {
      this.toldOf = n;
      this.notice("attention", t("notice_leaving", { n }));
      return false;
    }
    if (!n && this.known.agent.presence !== "offline" && this.connection.isOpen) {
      const late = new Promise((resolve) => setTimeout(resolve, LEAVING_MS));
      await Promise.race([this.connection.command("presence", { presence: "offline" }).catch(() => {}), late]);
    }
    return true;
  }

  offers() {
    return offers(this.known);
  }
}
