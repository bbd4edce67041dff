// The supervisor's wallboard: sign in, connect, draw.

import { now } from "../page/clock.js";
import { withAgents } from "../page/directory.js";
import { Replaced, StoreAway } from "../page/connection.js";
import { pausesIn } from "../page/pauses.js";
import { Connection } from "../page/socket.js";
import { enter, SignIn } from "../page/signin.js";
import { forget } from "../page/session.js";
import { Store, useStore } from "../page/store.js";
import { t } from "../page/texts.js";
import { html, render } from "../page/view.js";
import { Board } from "./board.js";
import { applyBoardWelcome, applyChannels, applyDelta, emptyBoard } from "./model.js";

const NOTICES = 3;
const INFORMED_MS = 30_000;
const ROLES = ["supervisor", "admin"];
const page = document.getElementById("page");

/** Where the reader is: {queue}, {contact}, {agent}, {channels}, {view}, or {} for the whole board. Kept in the address. */
function placeIn(hash) {
  const [, kind, id] = /^#(queue|contact|agent|channels|view)=(.+)$/.exec(hash) || [];
  return kind ? { [kind]: decodeURIComponent(id) } : {};
}

function Page({ wall }) {
  useStore(wall.store);
  if (wall.connection.name === "replaced") return html`<${Replaced} />`;
  if (!wall.board.loaded) {
    return html`<main class="empty waiting" aria-busy="true">
      <p class="brand">contact-router</p>
      <${StoreAway} connection=${wall.connection} />
      <p role="status">${t(wall.connection.name === "disconnected" ? "desk_unreachable" : "wall_loading")}</p>
    </main>`;
  }
  return html`<${Board} wall=${wall} />`;
}

function start(session) {
  const board = emptyBoard();
  const store = new Store(board);
  const wall = { session, board, store, place: placeIn(location.hash), notices: [], connection: { name: "connecting" } };
  wall.go = (place) => {
    const [[kind, id] = []] = Object.entries(place);
    history.pushState(null, "", kind ? `#${kind}=${encodeURIComponent(id)}` : location.pathname);
    wall.place = place;
    store.touch();
  };
  addEventListener("popstate", () => {
    wall.place = placeIn(location.hash);
    store.touch();
  });
  wall.dismiss = (notice) => {
    wall.notices = wall.notices.filter((each) => each !== notice);
    store.touch();
  };
  wall.say = (meaning, text) => {
    const notice = { meaning, text, at: now() };
    wall.notices = [...wall.notices, notice].slice(-NOTICES);
    if (meaning === "good") setTimeout(() => wall.dismiss(notice), INFORMED_MS);
    store.touch();
  };
  wall.connection = new Connection(session.token, "supervisor", {
    welcome(frame) {
      applyBoardWelcome(board, frame);
      store.soon();
    },
    push(frame) {
      if (frame.type === "delta") applyDelta(board, frame);
      if (frame.type === "paused") board.pauses = pausesIn(frame.channels);
      if (frame.type === "channels") applyChannels(board, frame.channels);
      if (frame.type === "directory") board.directory = frame.directory;
      if (frame.type === "directory_agents") board.directory = withAgents(board.directory, frame);
      store.soon();
    },
    state: () => store.soon(),
    signedOut() {
      forget();
      show({ reason: "expired" });
    },
  });
  render(html`<${Page} wall=${wall} />`, page);
}

function show({ session, reason, detail }) {
  if (session) start(session);
  else render(html`<${SignIn} page="wallboard" reason=${reason} detail=${detail} onSession=${again} />`, page);
}

function again(made) {
  if (!ROLES.includes(made.role)) show({ reason: "role", detail: made.role });
  else location.reload();
}

show(await enter(ROLES));
addEventListener("hashchange", () => location.hash.includes("ticket=") && location.reload());
