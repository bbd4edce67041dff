// Files that came with a message: downloads, and the body of an e-mail in a frame of its own.
//
// Nothing of a stranger's HTML ever comes into this page. The frame is sandboxed twice, here and by the
// policy that the server sends with it: nothing in it runs, and it loads nothing from elsewhere.

import { post } from "../page/session.js";
import { t } from "../page/texts.js";
import { html, useState } from "../page/view.js";

const KB = 1024;

function sizeWords(bytes) {
  if (bytes < KB) return `${bytes} B`;
  return bytes < KB * KB ? `${Math.round(bytes / KB)} KB` : `${(bytes / KB / KB).toFixed(1)} MB`;
}

/** A link that holds for some minutes. Raises HttpError. */
async function linkTo(message, file) {
  const path = `/v1/contacts/${encodeURIComponent(message.contact)}:link-attachment`;
  return (await post(path, { message: message.id, attachment: file.id })).url;
}

function Download({ desk, message, file }) {
  const load = async () => {
    try {
      const link = document.createElement("a");
      link.href = await linkTo(message, file);
      link.download = file.name;
      link.click();
    } catch (error) {
      desk.notice("bad", t("refused", { what: file.name, why: error.message }));
    }
  };
  return html`<li><button class="link" data-file=${file.id} onClick=${load}>${file.name}</button> <span class="quiet">${sizeWords(file.size)}</span></li>`;
}

function Original({ desk, message, file }) {
  const [url, setUrl] = useState("");
  const toggle = async () => {
    try {
      setUrl(url ? "" : await linkTo(message, file));
    } catch (error) {
      desk.notice("bad", t("refused", { what: t("file_original"), why: error.message }));
    }
  };
  return html`<li class="original">
    <button class="link" aria-expanded=${url ? "true" : "false"} onClick=${toggle}>${t(url ? "file_hide" : "file_show")}</button>
    ${url &&
    html`<iframe
      class="mail-frame"
      sandbox="allow-popups allow-popups-to-escape-sandbox"
      referrerpolicy="no-referrer"
      title=${t("file_original")}
      src=${url}
    ></iframe>`}
  </li>`;
}

/** What came with a message, below its text. */
export function Files({ desk, message }) {
  const files = message.attachments || [];
  if (!files.length) return null;
  return html`<ul class="files">
    ${files.map((file) =>
      file.role && file.role !== "attachment"
        ? html`<${Original} key=${file.id} desk=${desk} message=${message} file=${file} />`
        : html`<${Download} key=${file.id} desk=${desk} message=${message} file=${file} />`,
    )}
  </ul>`;
}
