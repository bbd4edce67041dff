// A note on the contact, for colleagues: it is kept with the contact and never sent to the customer.

import { t } from "../page/texts.js";
import { html, useLayoutEffect, useRef, useState } from "../page/view.js";

/** The attribute that holds it, so that rules, exports and whoever gets the contact next can read it. */
export const NOTE = "note";
const MOST = 2000;

/** What is written is a draft until it is saved, and survives a reload as such. */
export function Note({ desk, contact }) {
  const place = `note.${contact.id}`;
  const said = String(contact.attributes?.[NOTE] ?? "");
  const draft = desk.drafts.read(place);
  const [open, setOpen] = useState(!!draft);
  const own = useRef(null);
  useLayoutEffect(() => void (open && own.current?.focus()), [open]);
  const begin = () => {
    if (!draft) desk.drafts.write(place, said);
    setOpen(true);
  };
  const end = () => {
    desk.drafts.write(place, "");
    setOpen(false);
  };
  const written = () => (own.current ? own.current.value : desk.drafts.read(place)).trim();
  const save = async (event) => {
    event?.preventDefault();
    const text = written();
    const saved = await desk.act("update", { contact: contact.id, attributes: { [NOTE]: text || null } });
    // Whoever went on writing meanwhile has not finished.
    if (saved && written() === text) end();
  };
  // A key that is pressed without thinking must not throw away what was written.
  const leave = () => (written() === said.trim() ? end() : setOpen(false));
  const pressed = (event) => {
    if (event.isComposing) return;
    if (event.key === "Escape") leave();
    else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) save(event);
    else return;
    event.preventDefault();
  };
  const write = (event) => {
    desk.drafts.write(place, event.target.value);
    desk.store.touch();
  };
  return html`<section class="card note" aria-label=${t("note")}>
    <h3>${t("note")}</h3>
    ${open
      ? html`<form onSubmit=${save}>
          <label class="unseen" for="note-text">${t("note")}</label>
          <textarea id="note-text" ref=${own} rows="3" maxlength=${MOST} dir="auto" value=${draft} onInput=${write} onKeyDown=${pressed}></textarea>
          <p class="quiet">${t("note_words")}</p>
          <div class="sheet-foot">
            <button type="button" onClick=${end}>${t("note_discard")}</button>
            <button class="primary" type="submit" disabled=${desk.isBusy("update", contact.id)}>${t("note_save")}</button>
          </div>
        </form>`
      : html`${said && html`<p class="plain" dir="auto">${said}</p>`}
          ${draft && html`<p class="plain quiet" dir="auto" data-draft="yes"><em>${t("draft")}</em> ${draft}</p>`}
          <button id="note" class="link" onClick=${begin}>${t(said || draft ? "note_edit" : "note_add")} <kbd>U</kbd></button>`}
  </section>`;
}
