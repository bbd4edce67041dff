/**
 * The connection to the router: calls up, effects down, over as many sockets as it takes.
 *
 * What the protocol asks of this side (adapters/remote/__init__.py) is done here, once:
 * calls without an answer are said again on the next connection, in their order; effects are known
 * by their id, and the same one again gets its earlier result; an epoch that is over is refused;
 * after each reconnect the router hears which calls there are (`live`) before anything else.
 */

import WebSocket from 'ws';

const PROTOCOL = 'contact-router.v1.json';
const CALLS = 1000; // most calls without an answer; one more fails at once
const RESULTS = 2000; // so many results are remembered
const AGAIN_MS = 60_000; // results this young are said again: the last socket may have lost them
const SILENCE_MS = 40_000; // the router pings every 16 s
const FIRST_MS = 200;
const LONGEST_MS = 15_000;
const AGAIN = new Set(['overloaded', 'outcome_unknown', 'store_full']);
const FOR_GOOD = new Map([
  [4401, 'the token is not accepted'],
  [4403, 'this token belongs to another adapter'],
  [4001, 'another process has taken our place'],
]);

/** The router's refusal of a call, or that there was no answer in time. */
export class CallFailed extends Error {
  constructor(code, text) {
    super(text);
    this.code = code;
  }
}

/** Thrown by `perform`: it was not carried out. */
export class EffectFailed extends Error {}

export class RouterLink {
  #options;
  #socket = null;
  #isWelcome = false;
  #failures = 0;
  #epoch = 0;
  #nextCid = 1;
  #calls = new Map(); // cid -> {frame, resolve, reject, timer, isDue}
  #results = new Map(); // effect id -> {frame, atMs}
  #underWay = new Map(); // effect id -> promise
  #heardMs = 0;
  #watch = null;
  #isStopped = false;
  #pauseMs = 0;

  /**
   * @param {object} options
   * @param {string} options.url  ws://host:port/v1/channels/<name>
   * @param {string} options.token
   * @param {(frame: object) => Promise<void>} options.perform  throws EffectFailed
   * @param {() => string[]} options.live  ids of the calls that exist
   * @param {(event: string, detail?: string) => void} options.tell  connected, lost, refused
   */
  constructor(options) {
    this.#options = options;
  }

  start() {
    this.#watch = setInterval(() => this.#look(), 5_000);
    this.#connect();
  }

  stop() {
    this.#isStopped = true;
    clearInterval(this.#watch);
    this.#socket?.close(1000);
    for (const cid of [...this.#calls.keys()]) this.#settle(cid, new CallFailed('stopped', 'stopped'));
  }

  /** For trials: the network fails, and comes back after so long. */
  cut(forMs) {
    this.#failures = 0;
    this.#socket?.terminate();
    this.#pauseMs = forMs;
  }

  /**
   * A call on the router; resolves with its answer when it is durable.
   * Rejects with CallFailed: refused (`code`), or not taken within `withinMs`.
   */
  call(type, fields, withinMs = 30_000) {
    if (this.#calls.size >= CALLS) {
      return Promise.reject(new CallFailed('full', `${CALLS} calls have no answer yet`));
    }
    const cid = this.#nextCid++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => this.#settle(cid, new CallFailed('no_answer', `no answer in ${withinMs} ms`)),
        withinMs,
      );
      this.#calls.set(cid, { frame: { type, cid, ...fields }, resolve, reject, timer });
      if (this.#isWelcome) this.#send(this.#calls.get(cid).frame);
    });
  }

  // -- the socket --------------------------------------------------------------------------------

  #connect() {
    if (this.#isStopped) return;
    const socket = new WebSocket(this.#options.url, PROTOCOL, {
      handshakeTimeout: 5_000,
      maxPayload: 1 << 20,
      perMessageDeflate: false,
    });
    this.#socket = socket;
    this.#heardMs = Date.now();
    socket.on('open', () => this.#send({ type: 'hello', token: this.#options.token }));
    socket.on('ping', () => (this.#heardMs = Date.now()));
    socket.on('message', (data) => this.#hear(data));
    socket.on('error', () => {}); // `close` follows
    socket.on('close', (code) => this.#closed(socket, code));
  }

  #closed(socket, code) {
    if (socket !== this.#socket) return;
    this.#isWelcome = false;
    if (this.#isStopped) return;
    if (FOR_GOOD.has(code)) {
      this.#options.tell('refused', FOR_GOOD.get(code));
      this.stop();
      return;
    }
    const longest = Math.min(LONGEST_MS, FIRST_MS * 2 ** this.#failures++);
    const waitMs = this.#pauseMs || longest * (0.5 + Math.random() / 2);
    this.#pauseMs = 0;
    this.#options.tell('lost', `code ${code}`);
    setTimeout(() => this.#connect(), waitMs);
  }

  /** A connection that nothing comes from is dead, whatever the system says of it. */
  #look() {
    if (this.#socket && Date.now() - this.#heardMs > SILENCE_MS) this.#socket.terminate();
  }

  #send(frame) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(frame));
  }

  // -- what comes --------------------------------------------------------------------------------

  #hear(data) {
    this.#heardMs = Date.now();
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      this.#socket.close(1007);
      return;
    }
    if (frame.type === 'welcome') this.#welcome(frame);
    else if (frame.type === 'answer') this.#answered(frame);
    else if (frame.type === 'perform') this.#perform(frame);
    else if (frame.type === 'find') this.#find(frame);
    else if (frame.type === 'error') this.#options.tell('error', frame.text);
  }

  #welcome(frame) {
    this.#failures = 0;
    this.#epoch = Math.max(this.#epoch, frame.epoch ?? 0);
    // First of all: of the router's calls those are left, the others ended while we were away.
    this.#send({ type: 'live', cid: `live-${this.#nextCid++}`, external_ids: this.#options.live() });
    this.#isWelcome = true;
    const since = Date.now() - AGAIN_MS;
    for (const { frame: result, atMs } of this.#results.values()) if (atMs > since) this.#send(result);
    for (const call of this.#calls.values()) this.#send(call.frame);
    this.#options.tell('connected');
  }

  #answered(frame) {
    const call = this.#calls.get(frame.cid);
    if (!call) return;
    if (frame.error && AGAIN.has(frame.error.code)) {
      // Nothing was done, or nobody knows: the same ids make saying it again harmless.
      const again = () => this.#isWelcome && this.#calls.has(frame.cid) && this.#send(call.frame);
      setTimeout(again, 1000 * (frame.error.retry_after_s ?? 1));
      return;
    }
    this.#settle(frame.cid, frame.error && new CallFailed(frame.error.code, frame.error.text), frame);
  }

  #settle(cid, error, answer) {
    const call = this.#calls.get(cid);
    if (!call) return;
    this.#calls.delete(cid);
    clearTimeout(call.timer);
    if (error) call.reject(error);
    else call.resolve(answer);
  }

  async #perform(frame) {
    const { id, epoch } = frame;
    if (epoch < this.#epoch) {
      this.#send({ type: 'result', effect: id, outcome: 'failed', reason: `epoch ${epoch} is over` });
      return;
    }
    this.#epoch = epoch;
    const known = this.#results.get(id);
    if (known) {
      this.#send(known.frame);
      return;
    }
    if (this.#underWay.has(id)) return; // its result comes
    const work = this.#carryOut(frame);
    this.#underWay.set(id, work);
    const result = await work;
    this.#underWay.delete(id);
    this.#results.set(id, { frame: result, atMs: Date.now() });
    if (this.#results.size > RESULTS) this.#results.delete(this.#results.keys().next().value);
    this.#send(result);
  }

  async #carryOut(frame) {
    try {
      await this.#options.perform(frame);
      return { type: 'result', effect: frame.id, outcome: 'done' };
    } catch (error) {
      const isPlain = error instanceof EffectFailed;
      if (!isPlain) this.#options.tell('error', `${error.stack ?? error}`);
      const outcome = isPlain ? 'failed' : 'unknown';
      return { type: 'result', effect: frame.id, outcome, reason: isPlain ? error.message : 'fault' };
    }
  }

  async #find(frame) {
    await this.#underWay.get(frame.id);
    const known = this.#results.get(frame.id);
    const found = known ? known.frame.outcome === 'done' : false;
    this.#send({ type: 'found', effect: frame.id, found });
  }
}
