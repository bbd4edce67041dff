// One connection to /v1/desk that looks after itself: hello, resume, resend, and a state that is never guessed.
// The protocol is docs/desk-protocol.md.

import { now, setServerClock } from "./clock.js";

const PROTOCOL = "contact-router.v1.json";
const QUIET_US = 13e6;
const LAG_US = 3e6;
const SIGN_IN_AGAIN = new Set([4401, 4403]);
const REPLACED = 4409;
const AHEAD_US = 1e6;

/** Both clocks of the machine, in ms: one may be set, the other may stand while the machine sleeps. */
const clocks = () => [Date.now(), performance.now()];
const passedMs = (then) => Math.max(...clocks().map((each, place) => each - then[place]));

/** A command was refused. `code` as in the protocol; the message is for people. */
export class CommandError extends Error {
  constructor(code, text) {
    super(text);
    this.code = code;
  }
}

export class Connection {
  /**
   * `on`: { welcome(frame), push(frame), state(), signedOut() }; `state()` tells that one of the fields changed:
   * `name` connecting | live | behind | disconnected | replaced, `heardAt` and `retryAt` (by the server's clock), `lagUs`, `storeAway`.
   */
  constructor(token, mode, on) {
    this.token = token;
    this.mode = mode;
    this.on = on;
    this.name = "connecting";
    this.heardAt = 0;
    this.retryAt = 0;
    this.lagUs = 0;
    this.storeAway = false; // the server says that it cannot save anything
    this.deadUs = 25e6;
    this.epoch = 0;
    this.seq = 0;
    this.attempt = 0;
    this.pending = new Map();
    this.cids = 0;
    this.memory = `contact-router.resume.${mode}`;
    this.prefix = Math.random().toString(36).slice(2, 8);
    const held = JSON.parse(sessionStorage.getItem(this.memory) || "null");
    this.resume = held && held.token === token ? held : null;
    setInterval(() => this.watch(), 1000);
    // Back from sleep, or the network is there again: try now, not when the back-off is over.
    addEventListener("online", () => this.retryNow());
    document.addEventListener("visibilitychange", () => document.hidden || this.retryNow());
    this.open();
  }

  /** Send a command; resolves with its answer, rejects with CommandError. Survives a reconnect. */
  command(type, fields = {}) {
    this.cids += 1;
    const cid = `${this.prefix}-${this.cids}`;
    const frame = JSON.stringify({ type, cid, ...fields });
    return new Promise((resolve, reject) => {
      this.pending.set(cid, { frame, resolve, reject });
      if (this.isOpen) this.socket.send(frame);
    });
  }

  /** Has it its welcome, and not been lost since? */
  get isOpen() {
    return this.name === "live" || this.name === "behind";
  }

  open() {
    clearTimeout(this.timer);
    this.become("connecting");
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/v1/desk`, [PROTOCOL]);
    this.socket = socket;
    this.quietSince = clocks();
    socket.onopen = () => {
      const hello = { type: "hello", token: this.token, mode: this.mode };
      if (this.resume) {
        Object.assign(hello, { resume: this.resume.resume, epoch: this.resume.epoch, last_seq: this.resume.seq });
      }
      socket.send(JSON.stringify(hello));
    };
    socket.onmessage = (message) => socket === this.socket && this.hear(JSON.parse(message.data));
    socket.onclose = (event) => socket === this.socket && this.closed(event.code);
  }

  hear(frame) {
    this.quietSince = clocks();
    // A frame from the future: the machine has slept, and its clock with it.
    if (frame.type === "welcome" || frame.now_us > now() + AHEAD_US) setServerClock(frame.now_us);
    this.heardAt = now();
    if (frame.type === "welcome") this.welcome(frame);
    else if (frame.type === "answer") this.answer(frame);
    else if (frame.type === "store") this.store(frame.away);
    else if (frame.type === "closing") this.wait = (frame.retry_after_s || 0) * 1000;
    else this.push(frame);
  }

  welcome(frame) {
    this.epoch = frame.epoch;
    this.seq = frame.seq;
    this.deadUs = (frame.dead_s || 25) * 1e6;
    this.resume = { token: this.token, resume: frame.resume, epoch: frame.epoch, seq: frame.seq };
    this.attempt = 0;
    this.wait = 0;
    this.lagUs = 0;
    this.storeAway = false; // if it is, that is said next
    this.remember();
    this.on.welcome(frame);
    this.become("live");
    for (const { frame: sent } of this.pending.values()) this.socket.send(sent);
  }

  push(frame) {
    this.lagUs = frame.now_us ? Math.max(0, now() - frame.now_us) : this.lagUs;
    this.become(this.lagUs > LAG_US ? "behind" : "live");
    if (frame.type === "event" || frame.type === "delta") {
      const known = frame.epoch < this.epoch || (frame.epoch === this.epoch && frame.seq <= this.seq);
      if (known) return;
      this.epoch = frame.epoch;
      this.seq = frame.seq;
      Object.assign(this.resume, { epoch: frame.epoch, seq: frame.seq });
      this.remember();
    }
    this.on.push(frame);
  }

  /** May come before a welcome, too: the connection is then closed, and tried again. */
  store(away) {
    this.storeAway = !!away;
    this.on.state();
  }

  answer(frame) {
    const waiting = this.pending.get(frame.cid);
    if (!waiting) return;
    const code = frame.ok ? "" : frame.error?.code;
    if (code === "outcome_unknown" || code === "overloaded" || code === "store_full") {
      // Not an answer yet: the same cid again is carried out at most once.
      const wait = Math.max(1000, (frame.error.retry_after_s || 0) * 1000);
      setTimeout(() => this.isOpen && this.pending.has(frame.cid) && this.socket.send(waiting.frame), wait);
      return;
    }
    this.pending.delete(frame.cid);
    if (frame.ok) waiting.resolve(frame);
    else waiting.reject(new CommandError(code || "", frame.error?.text || ""));
  }

  closed(code) {
    if (SIGN_IN_AGAIN.has(code)) {
      this.stopped = true;
      this.on.signedOut();
      return;
    }
    if (code === REPLACED) {
      this.stopped = true;
      this.become("replaced");
      return;
    }
    // Full jitter; the first time within 2 s, so that a restart does not meet everybody at once.
    const most = this.attempt === 0 ? 2000 : Math.min(30_000, 1000 * 2 ** (this.attempt - 1));
    this.attempt += 1;
    const delay = Math.max(this.wait || 0, Math.random() * most);
    this.wait = 0;
    this.retryAt = now() + delay * 1000;
    this.become("disconnected");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.open(), delay);
  }

  /** Say something that needs no answer and is worth nothing later. */
  tell(frame) {
    if (this.name === "live") this.socket.send(JSON.stringify(frame));
  }

  /** Try to connect now. */
  retryNow() {
    if (!this.stopped && this.name === "disconnected") this.open();
  }

  /** Once a second: has the server gone quiet? */
  watch() {
    if (this.stopped) return;
    const quiet = passedMs(this.quietSince) * 1000;
    if (this.name === "live" && quiet > QUIET_US) this.become("behind");
    if (this.name !== "disconnected" && quiet > this.deadUs) {
      const dead = this.socket;
      this.socket = null;
      dead.onclose = dead.onmessage = null;
      dead.close();
      this.closed(1006);
    }
  }

  become(name) {
    if (this.name === name && name !== "disconnected") return;
    this.name = name;
    this.on.state();
  }

  remember() {
    sessionStorage.setItem(this.memory, JSON.stringify(this.resume));
  }
}
