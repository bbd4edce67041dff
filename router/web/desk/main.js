// The agent's desk: sign in, connect, draw.

import { Replaced, StoreAway } from "../page/connection.js";
import { Connection } from "../page/socket.js";
import { enter, SignIn } from "../page/signin.js";
import { forget } from "../page/session.js";
import { useStore } from "../page/store.js";
import { t } from "../page/texts.js";
import { html, render } from "../page/view.js";
import { Desk } from "./desk.js";
import { DeskState } from "./state.js";

const page = document.getElementById("page");

function Page({ desk }) {
  const { connection } = useStore(desk.store).view;
  if (connection?.name === "replaced") return html`<${Replaced} />`;
  if (!desk.known.agent) {
    return html`<main class="empty waiting" aria-busy="true">
      <p class="brand">contact-router</p>
      <${StoreAway} connection=${connection} />
      <p role="status">${t(connection?.name === "disconnected" ? "desk_unreachable" : "desk_loading")}</p>
    </main>`;
  }
  return html`<${Desk} desk=${desk} />`;
}

function start(session) {
  const desk = new DeskState(session);
  desk.connect(
    new Connection(session.token, "agent", {
      welcome: (frame) => desk.welcome(frame),
      push: (frame) => desk.push(frame),
      state: () => desk.store.soon(),
      signedOut: () => {
        forget();
        show({ reason: "expired" });
      },
    }),
  );
  render(html`<${Page} desk=${desk} />`, page);
}

function show({ session, reason, detail }) {
  if (session) start(session);
  else render(html`<${SignIn} page="desk" reason=${reason} detail=${detail} onSession=${(made) => reload(made)} />`, page);
}

/** A new session begins with a fresh page: nothing of the old one is left. */
function reload(made) {
  if (made.role !== "agent") show({ reason: "role", detail: made.role });
  else location.reload();
}

show(await enter(["agent"]));
// A new link pasted into this tab's address bar changes the fragment only.
addEventListener("hashchange", () => location.hash.includes("ticket=") && location.reload());
