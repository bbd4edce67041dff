// The widget's line to the server, and its memory: what is said arrives once, whatever happens in between.

const RETRY_MS = [500, 1000, 2000, 5000, 10000, 20000];

// What survives a reload. Of the visitor, in every tab: the token, whether there was something to come
// back to, what was seen. Of this tab: what is being typed, and what is not confirmed yet.
export class Memory {
  constructor(name) {
    this.name = name;
    this.value = this.read("localStorage");
    this.tab = this.read("sessionStorage");
  }

  // Storage may be blocked: a reload is a new visitor then.
  read(where) {
    try { return JSON.parse(window[where].getItem(this.name)) || {}; } catch { return {}; }
  }

  write(where, value) {
    try { window[where].setItem(this.name, JSON.stringify(value)); } catch { /* As above. */ }
  }

  set(change) {
    this.write("localStorage", Object.assign(this.value, change));
  }

  keep(change) {
    this.write("sessionStorage", Object.assign(this.tab, change));
  }
}

// The socket: connects again by itself, and sends one message at a time until it is confirmed.
export class Connection {
  constructor(options, memory, hear) {
    this.options = options;
    this.memory = memory;
    this.hear = hear;
    this.pending = memory.tab.pending || [];
    this.flying = "";
    this.failures = 0;
    this.socket = null;
    this.ready = false;
  }

  start() {
    if (this.socket) return;
    const socket = new WebSocket(this.options.url);
    this.socket = socket;
    socket.onopen = () => this.send({
      type: "hello", key: this.options.key, token: this.memory.value.token || "",
      name: this.options.name.slice(0, 80), identity: this.options.identity,
    });
    socket.onmessage = (event) => this.take(JSON.parse(event.data));
    socket.onclose = (event) => this.lost(event.code);
  }

  send(frame) {
    this.socket.send(JSON.stringify(frame));
  }

  wait(pending) {
    this.pending = pending;
    this.memory.keep({ pending, at: Date.now() });
  }

  say(message) {
    this.wait([...this.pending, message]);
    this.start();
    this.flush();
  }

  /** The agent sees it for a few seconds, so saying it now and then is enough. */
  typing() {
    if (!this.ready || Date.now() - (this.typedAt || 0) < 3000) return;
    this.typedAt = Date.now();
    this.send({ type: "typing" });
  }

  flush() {
    if (!this.ready || this.flying || !this.pending.length) return;
    this.flying = this.pending[0].id;
    this.send({ type: "say", ...this.pending[0] });
  }

  take(frame) {
    if (frame.token) this.memory.set({ token: frame.token });
    if (frame.type === "welcome") {
      this.ready = true;
      this.failures = 0;
      this.flying = "";
      const known = new Set((frame.messages || []).map((message) => message.id));
      this.wait(this.pending.filter((message) => !known.has(message.id)));
    }
    if (frame.type === "message" || frame.type === "refused") this.settle(frame);
    this.hear(frame);
    this.flush();
  }

  settle(frame) {
    if (frame.id === this.flying) this.flying = "";
    if (frame.type === "refused" && frame.retry_after_s) {
      // The same id again, later: it cannot become two messages.
      this.flying = "later";
      setTimeout(() => (this.flying = "", this.flush()), Math.min(frame.retry_after_s, 30) * 1000);
      return;
    }
    this.wait(this.pending.filter((message) => message.id !== frame.id));
  }

  lost(code) {
    this.socket = null;
    this.ready = false;
    this.flying = "";
    const final = code === 4003 || code === 4008;
    this.hear({ type: "lost", final });
    if (final) return;
    const wait = RETRY_MS[Math.min(this.failures, RETRY_MS.length - 1)];
    this.failures += 1;
    // Spread out: after a restart not every page comes in the same moment.
    setTimeout(() => this.start(), wait * (0.5 + Math.random()));
  }
}
