// The start page: what this is, and the ways in. Signed-in links come from the demo's terminal.

import { get } from "../page/session.js";
import { Icon, Mark } from "../page/icons.js";
import { t } from "../page/texts.js";
import { html, render, useEffect, useState } from "../page/view.js";

const CHANNELS = ["voice", "chat", "sms", "email"];

/** Does the server answer? One question, when the page opens. */
function useHealth() {
  const [health, setHealth] = useState("asking");
  useEffect(() => {
    get("/healthz").then(
      () => setHealth("up"),
      () => setHealth("down"),
    );
  }, []);
  return health;
}

function Way({ href, icon, title, children }) {
  return html`<li>
    <a class="way" href=${href}>
      <span class="way-icon"><${Icon} name=${icon} /></span>
      <span><strong>${title}</strong><span class="quiet">${children}</span></span>
    </a>
  </li>`;
}

function Start() {
  const health = useHealth();
  return html`<main class="start">
    <header>
      <p class="brand"><img src="/icon.svg" alt="" width="28" height="28" /> contact-router</p>
      <h1>${t("start_title")}</h1>
      <p class="lead">${t("start_lead")}</p>
      <ul class="channels">
        ${CHANNELS.map((each) => html`<li key=${each}><${Icon} name=${each} /> ${t(`channel_${each}`)}</li>`)}
      </ul>
    </header>
    <ul class="ways">
      <${Way} href="/widget.html?channel=site&key=demo-site" icon="chat" title=${t("start_customer")}>${t("start_customer_words")}<//>
      <${Way} href="/desk" icon="bell" title=${t("start_desk")}>${t("start_desk_words")}<//>
      <${Way} href="/wallboard" icon="watch" title=${t("start_wallboard")}>${t("start_wallboard_words")}<//>
    </ul>
    <p class="quiet start-foot">
      <span class="line"><${Mark} meaning=${{ up: "good", down: "bad" }[health] || "neutral"} /> ${t(`start_server_${health}`)}</span>
      <a href="/openapi.json">${t("start_api")}</a>
    </p>
  </main>`;
}

render(html`<${Start} />`, document.getElementById("page"));
