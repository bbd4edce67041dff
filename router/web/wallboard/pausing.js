// The channels, and what stops or starts the offering of their contacts: for everybody, with a confirmation.

import { ChannelIcon, Mark } from "../page/icons.js";
import { pauseWords } from "../page/pauses.js";
import { t, word } from "../page/texts.js";
import { html } from "../page/view.js";
import { useActing } from "./actions.js";

const REASON_MOST = 200;

/** How many wait on a channel, over all queues. */
export function waitingOn(board, channel) {
  return [...board.queues.values()].reduce((sum, each) => sum + (each.by_channel?.[channel]?.waiting || 0), 0);
}

function Channel({ wall, name }) {
  const pause = wall.board.pauses.get(name);
  const [ask, confirmation] = useActing(wall);
  const channel = word("channel", name);
  const n = waitingOn(wall.board, name);
  const act = () =>
    pause
      ? ask("resume_channel", { channel: name }, t("ask_resume_channel", { channel, n }))
      : ask("pause_channel", { channel: name }, t("ask_pause_channel", { channel }), "", { name: "reason", label: t("pause_reason"), most: REASON_MOST });
  return html`<li class="side-section" data-channel=${name}>
    <div class="line">
      <${ChannelIcon} channel=${name} />
      <strong class="cut grow">${channel}</strong>
      <span class="quiet">${t("channel_waiting", { n })}</span>
      <button onClick=${act}>${t(pause ? "act_resume_channel" : "act_pause_channel")}</button>
    </div>
    ${pause && html`<p class="line pause-words"><${Mark} meaning="attention" shape="still" /><span dir="auto">${pauseWords(pause)}</span></p>`}
    ${confirmation}
  </li>`;
}

/** All channels that the settings have. */
export function Pausing({ wall }) {
  const names = (wall.board.directory.channels || []).map((each) => each.name);
  return html`<p class="drill-words quiet">${t("pause_words")}</p>
    <ul>${names.map((name) => html`<${Channel} key=${name} wall=${wall} name=${name} />`)}</ul>`;
}
