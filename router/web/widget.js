// The chat on a company's own pages: one script tag, no cookies, no frames, no dependencies.
//
//   <script src="https://router.example/widget.js" data-channel="site" data-key="…" async></script>
//
// Options:  data-title, data-greeting, data-name, data-open, data-identity (who your server says it is),
//           data-lang (the words around the chat: en or de; else the language of the page it is on).
// Looks:    --chat-accent, --chat-on-accent, --chat-background, --chat-text, --chat-font,
//           --chat-radius, set on any element around it (for example `html`).
// A strict Content-Security-Policy of the page needs script-src and connect-src for our origin only:
// the style sheet is constructed, and whatever anybody wrote becomes a text node.
// The protocol is described in adapters/webchat/__init__.py.
(() => {
  "use strict";

  const TEXT_BYTES = 4096;
  const STALE_MS = 600_000;
  const script = document.currentScript;
  const given = { ...script.dataset };
  if ("fromQuery" in given) {
    Object.assign(given, Object.fromEntries(new URLSearchParams(location.search)));
  }
  const site = new URL(script.src, location.href);
  const page = document.documentElement;
  const own = "fromQuery" in given; // our page: it speaks the reader's language
  const language = (given.lang || (!own && page.lang) || navigator.language).slice(0, 2).toLowerCase();
  if (own) page.lang = language === "de" ? "de" : "en";
  let table = {}; // from English, which stands where it is used; another language is a module of its own
  const t = (text, values = {}) => (table[text] || text).replace(
    /\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
  const options = {
    channel: given.channel || "",
    key: given.key || "",
    name: given.name || "",
    identity: given.identity || "",
    open: "open" in given,
    url: `${site.origin.replace(/^http/, "ws")}/v1/webchat/${encodeURIComponent(given.channel || "")}/ws`,
  };

  // Makes an element. Text is only ever set as text.
  function make(tag, properties = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name in element && !name.startsWith("aria")) element[name] = value;
      else element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }

  // Text with its web addresses as links; anything but http and https stays text.
  function linked(text) {
    return text.split(/(https?:\/\/[^\s<>"']+)/).map((part, index) => {
      if (index % 2 === 0 || !URL.canParse(part)) return part;
      return make("a", { href: part, target: "_blank", rel: "noopener noreferrer" }, part);
    });
  }

  function placeText(n, waitS) {
    const where = n > 0 ? t("You are number {n} in line.", { n }) : t("You are in line.");
    if (waitS === undefined || waitS < 0) return `${where} ${t("We cannot say yet how long it will take.")}`;
    if (waitS === 0) return t("Somebody will be with you in a moment.");
    const minutes = Math.ceil(waitS / 60);
    if (minutes <= 1) return `${where} ${t("It should take about a minute.")}`;
    return `${where} ${t("It should take about {minutes} minutes.", { minutes })}`;
  }

  const byteLength = (text) => new TextEncoder().encode(text).length;
  const newId = () => Array.from(
    crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0"),
  ).join("");

  class Widget {
    constructor({ Memory, Connection }) {
      this.t = t;
      this.title = given.title || t("Chat with us");
      this.greeting = { id: "greeting", who: "router", text: given.greeting || t("Hello! What can we do for you?") };
      this.memory = new Memory(`contact-chat:${options.channel}`);
      const { pending = [], at = 0, draft = "" } = this.memory.tab;
      if (pending.length && Date.now() - at > STALE_MS) {
        // It may not be meant any more: there to be sent, or not.
        this.memory.keep({ pending: [], draft: [...pending.map((each) => each.text), draft].join("\n").trim() });
      }
      this.connection = new Connection(options, this.memory, (frame) => this.hear(frame));
      this.shown = new Map();
      Object.assign(this, { state: "idle", place: {}, held: false, online: null, unread: 0 });
      this.build();
      this.input.value = this.memory.tab.draft || "";
      const waiting = this.connection.pending;
      if (waiting.length) this.show(this.greeting);
      for (const { id, text } of waiting) this.show({ id, who: "visitor", text }, "sending");
      if (this.memory.value.active || waiting.length) this.connection.start();
      if (options.open) this.open();
    }

    build() {
      this.log = make("div", { className: "log", role: "log", tabIndex: 0,
        "aria-label": t("Conversation"), "aria-live": "polite" });
      // The status line and the choices take room from it: the newest message stays in sight.
      // Whoever reads further up is left there.
      this.log.onscroll = () => {
        this.away = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight > 40;
      };
      new ResizeObserver(() => this.away || this.scroll()).observe(this.log);
      this.status = make("p", { className: "status", role: "status" });
      this.choices = make("div", { className: "choices", role: "group" });
      this.input = make("textarea", { id: "text", rows: 1, placeholder: t("Write a message"),
        "aria-describedby": "note", autocomplete: "off" });
      this.note = make("p", { id: "note", className: "note", "aria-live": "polite" });
      this.sendButton = make("button", { className: "send", type: "submit" }, t("Send"));
      this.form = make("form", {}, make("label", { htmlFor: "text", className: "unseen" }, t("Your message")),
        this.input, this.sendButton, this.note);
      this.endButton = make("button", { className: "plain", type: "button", hidden: true }, t("End chat"));
      this.closeButton = make("button", { className: "plain", type: "button",
        "aria-label": t("Close the chat window") }, "×");
      this.panel = make("section", { id: "panel", className: "panel", role: "dialog",
        hidden: true, "aria-label": this.title },
      make("header", {}, make("h2", {}, this.title), this.endButton, this.closeButton),
      this.log, this.status, this.choices, this.form);
      this.badge = make("span", { className: "badge", hidden: true });
      this.launcher = make("button", { className: "launcher", type: "button",
        "aria-expanded": "false", "aria-controls": "panel" }, t("Chat"), this.badge);

      this.launcher.onclick = () => (this.panel.hidden ? this.open() : this.close());
      this.closeButton.onclick = () => this.close();
      this.endButton.onclick = () => this.connection.ready && this.connection.send({ type: "end" });
      this.panel.onkeydown = (event) => {
        // Not while an input method is composing: its Escape and Enter are its own.
        if (event.isComposing) return;
        if (event.key === "Escape") this.close();
        if (event.key === "Enter" && !event.shiftKey && event.target === this.input) {
          event.preventDefault();
          this.form.requestSubmit();
        }
      };
      this.input.oninput = () => {
        this.memory.keep({ draft: this.input.value });
        this.measure();
        if (this.state === "talking") this.connection.typing();
      };
      this.form.onsubmit = (event) => {
        event.preventDefault();
        this.say();
      };

      const host = make("contact-chat", {});
      const root = host.attachShadow({ mode: "open" });
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(STYLE);
      root.adoptedStyleSheets = [sheet];
      root.append(this.panel, this.launcher);
      this.root = root;
      document.body.append(host);
    }

    open() {
      this.panel.hidden = false;
      this.launcher.setAttribute("aria-expanded", "true");
      if (!this.shown.size) this.show(this.greeting);
      this.connection.start();
      this.count(0);
      this.measure();
      this.scroll();
      this.input.focus();
      this.tell();
    }

    close() {
      this.panel.hidden = true;
      this.launcher.setAttribute("aria-expanded", "false");
      this.launcher.focus();
    }

    say() {
      const text = this.input.value;
      const ready = !this.files || this.files.ready();
      if (!ready || byteLength(text) > TEXT_BYTES || !(text.trim() || ready.length)) return;
      const id = newId();
      const files = this.files ? this.files.take(id, text) : {};
      this.show({ id, who: "visitor", text, files: files.names }, "sending");
      this.connection.say({ id, text, files: files.ids });
      this.input.value = "";
      this.memory.keep({ draft: "" });
      this.measure();
      this.scroll();
    }

    hear(frame) {
      switch (frame.type) {
        case "welcome": this.welcome(frame); break;
        case "message": this.message(frame); break;
        case "refused": this.refused(frame); break;
        case "place": this.place = frame; this.state = "waiting"; break;
        case "joined": this.state = "talking"; break;
        case "typing": this.typing(true); break;
        case "hold": this.held = Boolean(frame.held); break;
        case "ask": this.ask(frame); break;
        case "answered": this.choices.replaceChildren(); break;
        case "ended": this.ended(); break;
        case "error": console.warn(`chat widget: ${frame.code}: ${frame.text}`); break;
        case "lost": this.online = frame.final ? "never" : false; break;
      }
      this.tell();
    }

    welcome(frame) {
      this.online = true;
      this.state = frame.state;
      this.place = { position: frame.position, wait_s: frame.wait_s };
      this.held = Boolean(frame.held);
      // What is old is not read out again. What is shown stays: the server may know less by now.
      this.log.setAttribute("aria-live", "off");
      if (!this.shown.size) this.show(this.greeting);
      const said = frame.messages || [];
      for (const message of said) {
        if (this.shown.has(message.id)) this.confirm(message.id);
        else this.show(message);
      }
      // What came while the page was away is new as well.
      const fresh = said.slice(said.findIndex((each) => each.id === this.memory.value.seen) + 1);
      this.count(this.panel.hidden ? fresh.filter((each) => each.who !== "visitor").length : 0);
      for (const { id } of this.connection.pending) this.log.append(this.shown.get(id));
      // Files are a module of their own: most sites take none. What fails is tried at the next welcome.
      if (frame.files) {
        this.loading ||= load("widget_files")
          .then(({ Files }) => (this.files = new Files(this, make, options.url, frame)))
          .catch(() => (this.loading = null));
      }
      requestAnimationFrame(() => this.log.setAttribute("aria-live", "polite"));
      this.choices.replaceChildren();
      if (frame.ask) this.ask(frame.ask);
      this.scroll();
    }

    message(frame) {
      if (frame.who !== "visitor") this.typing(false);
      if (this.shown.has(frame.id)) this.confirm(frame.id);
      else {
        this.show(frame);
        if (frame.who !== "visitor") this.count(this.panel.hidden ? this.unread + 1 : 0);
      }
      if (frame.who === "visitor" && ["idle", "ended"].includes(this.state)) {
        Object.assign(this, { state: "waiting", place: {} });
      }
      this.scroll();
    }

    confirm(id) {
      const element = this.shown.get(id);
      element.dataset.state = "";
      element.querySelector(".state").textContent = "";
    }

    refused(frame) {
      const element = this.shown.get(frame.id);
      if (!element || frame.retry_after_s || this.files?.again(frame)) return;
      element.dataset.state = "failed";
      element.querySelector(".state").textContent = t("Not sent: {why}.", { why: frame.text });
    }

    typing(agentTypes) {
      clearTimeout(this.typingTimer);
      this.agentTypes = agentTypes;
      if (agentTypes) this.typingTimer = setTimeout(() => (this.typing(false), this.tell()), 5000);
    }

    ask(frame) {
      this.choices.setAttribute("aria-label", frame.prompt);
      const buttons = Object.entries(frame.choices || {}).map(([value, label]) => {
        const button = make("button", { type: "button" }, label);
        button.onclick = () => {
          this.choices.replaceChildren();
          this.connection.send({ type: "choose", name: frame.name, value });
          this.input.focus();
        };
        return button;
      });
      this.choices.replaceChildren(make("p", {}, frame.prompt), ...buttons);
      this.scroll();
    }

    ended() {
      this.state = "ended";
      this.held = this.agentTypes = false;
      this.choices.replaceChildren();
    }

    show(message, state = "") {
      if (this.shown.has(message.id)) return;
      const who = { visitor: t("You"), agent: t("Agent"), router: "" }[message.who];
      const note = state === "sending" ? t("Sending…") : "";
      const names = (message.files || []).map((name) => t("File: {name}", { name }));
      const text = [message.text, ...names].filter(Boolean).join("\n");
      const element = make("div", { className: `message ${message.who}` },
        make("span", { className: "unseen" }, who ? `${who}: ` : ""),
        make("span", { className: "text", dir: "auto" }, ...linked(text)),
        make("span", { className: "state" }, note));
      element.dataset.state = state;
      this.shown.set(message.id, element);
      this.log.append(element);
    }

    // The status line, and everything else that follows from the state.
    tell() {
      let text = "";
      if (this.online === "never") text = t("This chat is not available.");
      else if (this.online === false) text = t("The connection is lost. We are trying again…");
      else if (this.held) text = t("Your agent will be right back.");
      else if (this.state === "talking" && this.agentTypes) text = t("Your agent is writing…");
      else if (this.state === "waiting") {
        text = this.place.text || placeText(this.place.position, this.place.wait_s);
      } else if (this.state === "ended") text = t("This chat has ended. Write again to begin anew.");
      if (this.status.textContent !== text) this.status.textContent = text;
      const active = this.state === "waiting" || this.state === "talking";
      this.endButton.hidden = !active;
      if (Boolean(this.memory.value.active) !== active) this.memory.set({ active });
    }

    measure() {
      const left = TEXT_BYTES - byteLength(this.input.value);
      this.note.textContent = left < 0 ? t("The message is {n} bytes too long.", { n: -left }) : "";
      this.sendButton.disabled = left < 0;
      this.input.style.height = "auto";
      this.input.style.height = `${Math.min(this.input.scrollHeight, 120)}px`;
    }

    count(unread) {
      this.unread = unread;
      if (!this.panel.hidden) this.memory.set({ seen: [...this.shown.keys()].at(-1) });
      this.badge.hidden = !unread;
      this.badge.textContent = unread > 9 ? "9+" : String(unread || "");
      this.launcher.setAttribute("aria-label", unread ? t("Chat, {n} new", { n: unread }) : t("Chat"));
    }

    scroll() {
      this.log.scrollTop = this.log.scrollHeight;
    }
  }

  const STYLE = `
:host {
  --accent: var(--chat-accent, #0b57d0);
  --on-accent: var(--chat-on-accent, #fff);
  --background: var(--chat-background, #fff);
  --text: var(--chat-text, #1f1f1f);
  --radius: var(--chat-radius, 14px);
  --line: color-mix(in srgb, var(--text) 18%, transparent);
  --soft: color-mix(in srgb, var(--text) 8%, var(--background));
  font: 15px/1.45 var(--chat-font, system-ui, sans-serif);
  position: fixed; inset: auto 16px 16px auto; z-index: 2147483000;
}
[hidden] { display: none !important; }
* { box-sizing: border-box; }
button, textarea { font: inherit; color: inherit; }
button { cursor: pointer; border: 0; border-radius: calc(var(--radius) * .7); min-height: 40px; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.launcher {
  display: block; margin-left: auto; padding: 12px 22px; border-radius: 999px; font-weight: 600;
  background: var(--accent); color: var(--on-accent); box-shadow: 0 3px 14px rgb(0 0 0 / .28);
}
.badge { margin-left: 8px; padding: 1px 8px; border-radius: 999px;
  background: var(--on-accent); color: var(--accent); }
.panel {
  display: flex; flex-direction: column; width: 370px; height: min(560px, 100dvh - 100px);
  margin-bottom: 12px; overflow: hidden; background: var(--background); color: var(--text);
  border: 1px solid var(--line); border-radius: var(--radius);
  box-shadow: 0 10px 40px rgb(0 0 0 / .25);
}
header { display: flex; align-items: center; gap: 4px; padding: 6px 6px 6px 16px;
  background: var(--accent); color: var(--on-accent); }
h2 { flex: 1; margin: 0; font-size: 16px; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; }
.plain { background: transparent; padding: 0 10px; min-width: 40px; }
.plain:hover { background: rgb(255 255 255 / .18); }
header :focus-visible { outline-color: var(--on-accent); outline-offset: -3px; }
.log { flex: 1; min-height: 0; overflow-y: auto; padding: 14px; display: flex;
  flex-direction: column; gap: 8px; }
.log:focus-visible { outline-offset: -3px; }
.message { max-width: 85%; align-self: flex-start; }
.message .text { display: block; padding: 8px 12px; border-radius: var(--radius);
  background: var(--soft); white-space: pre-wrap; overflow-wrap: anywhere; }
.visitor { align-self: flex-end; }
.visitor .text { background: var(--accent); color: var(--on-accent); }
.visitor[data-state=sending] .text { background: none; color: inherit; outline: 1px solid; outline-offset: -1px; }
.message a { color: inherit; text-decoration: underline; }
.state { display: block; font-size: 12px; text-align: right; }
.state:empty, .choices:empty { display: none; }
/* Live regions stay in the page, or their next text is not announced. */
.status:empty { padding: 0; }
.note:empty { margin-top: -8px; }
.status { margin: 0; padding: 8px 14px; font-size: 13px; background: var(--soft); }
.choices { display: flex; flex-wrap: wrap; gap: 8px; padding: 10px 14px; }
.choices p { flex-basis: 100%; margin: 0; }
.choices button { padding: 0 14px; background: transparent; border: 1px solid var(--accent); }
form { display: flex; flex-wrap: wrap; gap: 8px; padding: 10px; border-top: 1px solid var(--line); }
textarea { flex: 1; min-width: 0; resize: none; min-height: 40px; padding: 8px 10px;
  background: var(--background); border: 1px solid color-mix(in srgb, var(--text) 55%, transparent);
  border-radius: calc(var(--radius) * .7); }
.send { padding: 0 16px; background: var(--accent); color: var(--on-accent); font-weight: 600; }
.send:disabled { opacity: .5; cursor: not-allowed; }
.note { flex-basis: 100%; margin: 0; font-size: 13px; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; }
@media (prefers-color-scheme: dark) {
  :host { --background: var(--chat-background, #1e1f22); --text: var(--chat-text, #e8e8ea);
    --accent: var(--chat-accent, #a8c7fa); --on-accent: var(--chat-on-accent, #062e6f); }
}
@media (max-width: 480px) {
  :host { inset: auto 8px 8px 8px; }
  .panel { width: 100%; height: calc(100dvh - 16px); margin: 0; }
  .panel:not([hidden]) + .launcher { display: none; }
}
`;

  // Modules, so that a page may load what it needs of us: the line to the server, its language.
  const load = (name) => import(`${site.origin}/${name}.js`);
  const begin = async () => {
    const [line, { de = {} }] = await Promise.all([load("widget_line"), language === "de" ? load("widget_de").catch(() => ({})) : {}]);
    table = de;
    if (document.body) new Widget(line);
    else document.addEventListener("DOMContentLoaded", () => new Widget(line));
  };
  if (options.channel && options.key) begin();
  else console.error("chat widget: data-channel and data-key are required on the script tag");
})();
