// Files in the chat on a company's own pages: loaded by widget.js only where the chat takes some.
//
// A chosen file is uploaded at once, one after the other, and waits above the text for "Send": the message
// names it by the id that the upload was answered. Nothing of a file is ever rendered in the page.
// Both paths and answers are described in adapters/webchat/uploads.py.

const AT_ONCE = 5; // files of one message, as the protocol has it
const TRIES = 4;
const TIMEOUT_MS = 180_000;
const REMEMBERED = 20;

const sleep = (ms) => new Promise((done) => { setTimeout(done, ms); });

export class Files {
  constructor(widget, make, socketUrl, limits) {
    this.widget = widget;
    this.make = make;
    this.url = socketUrl.replace(/^ws/, "http").replace(/ws$/, "files");
    this.limits = limits;
    this.chosen = [];
    // What was said with files: a server that was started again has forgotten the ids.
    this.sent = new Map();
    this.line = Promise.resolve();
    this.build();
  }

  build() {
    const { make, widget } = this;
    this.picker = make("input", { type: "file", multiple: true, hidden: true,
      accept: this.limits.file_types.join(","), tabIndex: -1 });
    this.button = make("button", { className: "clip", type: "button",
      "aria-label": widget.t("Attach files"), title: widget.t("Attach files") }, clip());
    this.list = make("ul", { className: "chosen", "aria-label": widget.t("Files to send") });
    this.note = make("p", { className: "note", "aria-live": "polite" });
    this.button.onclick = () => this.picker.click();
    this.picker.onchange = () => {
      this.add([...this.picker.files]);
      this.picker.value = ""; // the same file again is a change, too
    };
    widget.input.addEventListener("paste", (event) => {
      const files = [...event.clipboardData.files];
      if (!files.length) return;
      event.preventDefault();
      this.add(files);
    });
    widget.form.prepend(this.list);
    widget.sendButton.before(this.button, this.picker);
    widget.form.append(this.note);
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    widget.root.adoptedStyleSheets = [...widget.root.adoptedStyleSheets, sheet];
  }

  add(files) {
    this.note.textContent = "";
    this.complains = false;
    for (const file of files) {
      if (this.chosen.length >= AT_ONCE) {
        this.complain(this.widget.t("At most {n} files go with one message.", { n: AT_ONCE }));
        break;
      }
      if (file.size > this.limits.file_bytes) this.fail(file, "too_big");
      else this.choose(file);
    }
    this.widget.input.focus();
  }

  choose(file) {
    const { make } = this;
    const { t } = this.widget;
    const bar = make("progress", { max: 1, value: 0, "aria-label": t("Uploading {name}", { name: file.name }) });
    const remove = make("button", { type: "button", className: "remove",
      "aria-label": t("Remove {name}", { name: file.name }) }, "×");
    const element = make("li", {}, make("span", { className: "name", dir: "auto" }, file.name), bar, remove);
    const one = { file, element, id: "", name: file.name, abort: new AbortController() };
    remove.onclick = () => {
      this.drop(one);
      this.widget.input.focus();
    };
    this.chosen.push(one);
    this.list.append(element);
    this.queue(file, one.abort.signal, (part) => { bar.value = part; }).then((kept) => {
      Object.assign(one, kept);
      bar.remove();
      // What is wrong stands until something else is chosen.
      if (this.complains || !this.chosen.includes(one)) return;
      this.note.textContent = t("{name} is ready to be sent.", { name: file.name });
    }, (error) => {
      this.drop(one);
      if (error.message !== "aborted") this.fail(file, error.message);
    });
  }

  drop(one) {
    one.abort.abort();
    one.element.remove();
    this.chosen = this.chosen.filter((other) => other !== one);
  }

  fail(file, code) {
    this.complain(`${file.name}: ${this.words(code)}`);
  }

  complain(text) {
    this.complains = true;
    this.note.textContent = text;
  }

  words(code) {
    const most = Math.floor((this.limits.file_bytes / 1_048_576) * 10) / 10;
    const kinds = this.limits.file_types.map((type) => type.replace(/^.*\//, "").toUpperCase());
    const { t } = this.widget;
    return {
      too_big: t("this file is too big. At most {most} MB are taken.", { most }),
      type: t("this kind of file is not taken. Taken are {kinds}.", { kinds: kinds.join(", ") }),
      too_fast: t("too many files for now. Please try again later."),
      too_slow: t("the connection is too slow for this file."),
      lost: t("the connection was lost. Please try again."),
      try_again: t("we are very busy. Please try again in a moment."),
    }[code] || t("this file could not be taken.");
  }

  /** What is ready for the next message; null while a file is on its way. */
  ready() {
    if (this.chosen.every((one) => one.id)) return this.chosen;
    this.note.textContent = this.widget.t("One moment, please: a file is still on its way.");
    return null;
  }

  /** The files that go with this message; nothing is chosen any more. */
  take(id, text) {
    const taken = this.chosen;
    if (!taken.length) return {};
    this.chosen = [];
    this.list.replaceChildren();
    this.note.textContent = "";
    this.sent.set(id, { text, files: taken.map((one) => one.file) });
    if (this.sent.size > REMEMBERED) this.sent.delete(this.sent.keys().next().value);
    return { ids: taken.map((one) => one.id), names: taken.map((one) => one.name) };
  }

  /** A refused message whose files the server has forgotten is uploaded and said again, once. */
  again({ id, code }) {
    const known = this.sent.get(id);
    if (code !== "no_file" || !known) return false;
    this.sent.delete(id);
    const signal = new AbortController().signal;
    Promise.all(known.files.map((file) => this.queue(file, signal, () => {}))).then(
      (kept) => this.widget.connection.say({ id, text: known.text, files: kept.map((one) => one.id) }),
      (error) => this.widget.refused({ id, code: "", text: this.words(error.message).slice(0, -1) }),
    );
    return true;
  }

  /** One at a time; {id, name}. Raises Error with a code. */
  queue(file, signal, progress) {
    const turn = this.line.then(() => this.insist(file, signal, progress));
    this.line = turn.catch(() => {});
    return turn;
  }

  async insist(file, signal, progress) {
    for (let attempt = 1; ; attempt += 1) {
      if (signal.aborted) throw new Error("aborted");
      const { status, body, afterS } = await this.upload(file, signal, progress);
      if (status === 201) return { id: body.id, name: body.name };
      if (status !== 503 || attempt >= TRIES) throw new Error(body.code || "lost");
      await sleep(Math.min(afterS || 2, 10) * 1000);
    }
  }

  upload(file, signal, progress) {
    // Not fetch: it does not tell how much has gone.
    const request = new XMLHttpRequest();
    return new Promise((resolve, reject) => {
      request.open("POST", this.url);
      request.timeout = TIMEOUT_MS;
      request.setRequestHeader("Webchat-Token", this.widget.memory.value.token || "");
      request.setRequestHeader("Webchat-File-Name", encodeURIComponent([...file.name].slice(-120).join("").toWellFormed()));
      request.setRequestHeader("Content-Type", "application/octet-stream");
      request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
      request.onload = () => resolve({
        status: request.status,
        body: parsed(request.responseText),
        afterS: Number(request.getResponseHeader("Retry-After")),
      });
      request.onerror = () => reject(new Error("lost"));
      request.ontimeout = () => reject(new Error("too_slow"));
      request.onabort = () => reject(new Error("aborted"));
      signal.addEventListener("abort", () => request.abort());
      request.send(file);
    });
  }
}

// Drawn: not every device has a letter for it.
function clip() {
  const space = "http://www.w3.org/2000/svg";
  const picture = document.createElementNS(space, "svg");
  const line = document.createElementNS(space, "path");
  picture.setAttribute("viewBox", "0 0 24 24");
  picture.setAttribute("aria-hidden", "true");
  line.setAttribute("d", "M20 11l-8.5 8.5a5 5 0 0 1-7-7L13 4a3.4 3.4 0 0 1 4.8 4.8L9.3 17.3a1.7 1.7 0 0 1-2.4-2.4L14.5 7.3");
  picture.append(line);
  return picture;
}

// A proxy in between answers in its own words.
function parsed(text) {
  try {
    return JSON.parse(text) || {};
  } catch {
    return {};
  }
}

const STYLE = `
.clip { background: transparent; min-width: 40px; padding: 0 8px; }
.clip:hover, .remove:hover { background: var(--soft); }
.clip svg { display: block; width: 22px; height: 22px; margin: auto; fill: none; stroke: currentcolor;
  stroke-width: 1.8; stroke-linecap: round; }
.chosen { flex-basis: 100%; min-width: 0; max-width: 100%; display: flex; flex-direction: column; gap: 4px; margin: 0; padding: 0;
  list-style: none; font-size: 13px; }
.chosen:empty { display: none; }
.chosen li { min-width: 0; display: flex; align-items: center; gap: 8px; padding-left: 10px;
  background: var(--soft); border-radius: calc(var(--radius) * .7); }
.chosen .name { flex: 1; min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.chosen progress { flex: none; width: 64px; accent-color: var(--accent); }
.remove { background: transparent; min-width: 40px; }
`;
