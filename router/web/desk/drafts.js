// What is typed and not yet sent survives a reload: one draft per contact, and messages nobody has confirmed.

const KEEP_MS = 7 * 24 * 3600 * 1000;

export class Drafts {
  /** `owner`: workspace and agent, so that two people on one machine do not see each other's. */
  constructor(owner, storage = localStorage) {
    this.prefix = `contact-router.draft.${owner}.`;
    this.storage = storage;
    this.prune();
  }

  /** The draft for a contact; "" if there is none. */
  read(contact) {
    return this.load(contact).text || "";
  }

  /** Keep what was typed. */
  write(contact, text) {
    this.save(contact, { ...this.load(contact), text });
  }

  /** Messages on their way: [{id, text, at}]. */
  unsent(contact) {
    return this.load(contact).unsent || [];
  }

  /** Remember a message until the server has confirmed it. */
  sending(contact, id, text) {
    const held = this.load(contact);
    const unsent = (held.unsent || []).filter((each) => each.id !== id);
    this.save(contact, { ...held, unsent: [...unsent, { id, text, at: Date.now() * 1000 }] });
  }

  /** The server has it, or the agent gave it up. */
  settled(contact, id) {
    const held = this.load(contact);
    if (!held.unsent?.some((each) => each.id === id)) return;
    this.save(contact, { ...held, unsent: held.unsent.filter((each) => each.id !== id) });
  }

  load(contact) {
    try {
      return JSON.parse(this.storage.getItem(this.prefix + contact)) || {};
    } catch {
      return {};
    }
  }

  save(contact, held) {
    const key = this.prefix + contact;
    try {
      if (!held.text && !held.unsent?.length) this.storage.removeItem(key);
      else this.storage.setItem(key, JSON.stringify({ ...held, at: Date.now() }));
    } catch {
      // Storage is full or forbidden: what is typed is still on the screen.
    }
  }

  prune() {
    for (const key of Object.keys(this.storage)) {
      if (!key.startsWith("contact-router.draft.")) continue;
      let at = 0;
      try {
        at = JSON.parse(this.storage.getItem(key)).at || 0;
      } catch {
        // Damaged: goes as well.
      }
      if (Date.now() - at > KEEP_MS) this.storage.removeItem(key);
    }
  }
}
