// Where the agent writes. What is typed is kept with every keystroke and only leaves when it is sent.

import { t } from "../page/texts.js";
import { html, useLayoutEffect, useRef } from "../page/view.js";

const MOST_BYTES = 60_000;

/** Enter sends; Shift+Enter is a new line (in email Ctrl+Enter sends, Enter is a line). */
export function Composer({ desk, contact, active }) {
  const id = active ? "composer" : `composer-${contact.id}`;
  const own = useRef(null);
  const mail = contact.channel === "email";
  const draft = desk.drafts.read(contact.id);
  const grow = () => {
    own.current.style.height = "auto";
    own.current.style.height = `${Math.min(own.current.scrollHeight + 2, mail ? 320 : 200)}px`;
  };
  useLayoutEffect(grow, [draft]);
  const tooLong = draft.length > 15_000 && new TextEncoder().encode(draft).length > MOST_BYTES;
  const write = (event) => {
    desk.drafts.write(contact.id, event.target.value);
    if (event.target.value) desk.types(contact.id);
    desk.store.touch();
  };
  const send = () => {
    // The field, not the last drawing of it: a key may come before the next frame.
    const text = own.current.value.trim();
    if (!text || tooLong) return;
    desk.sendDraft(contact.id, text);
    own.current.value = "";
    own.current.focus();
  };
  const pressed = (event) => {
    if (event.isComposing) return;
    if (event.key === "Escape") own.current.blur();
    const sends = event.key === "Enter" && !event.altKey && (mail ? event.ctrlKey || event.metaKey : !event.shiftKey);
    if (!sends) return;
    event.preventDefault();
    send();
  };
  return html`<form class="composer" onSubmit=${(event) => (event.preventDefault(), send())}>
    <label class="unseen" for=${id}>${t("write")}</label>
    <textarea
      id=${id}
      ref=${own}
      rows=${mail ? 5 : 2}
      dir="auto"
      placeholder=${t("write_to", { channel: t(`channel_${contact.channel}`) })}
      value=${draft}
      onInput=${write}
      onKeyDown=${pressed}
    ></textarea>
    <div class="composer-foot">
      <span class=${tooLong ? "problem" : "quiet"} role=${tooLong ? "alert" : undefined}>
        ${tooLong ? t("too_long") : mail ? t("write_hint_mail") : t("write_hint")}
      </span>
      <button class="primary" type="submit" disabled=${!draft.trim() || tooLong}>${t("send")}</button>
    </div>
  </form>`;
}
