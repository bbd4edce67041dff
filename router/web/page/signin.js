// What stands on a page before there is a session: signing in, and why not.

import { forget, signIn, signInAs } from "./session.js";
import { t } from "./texts.js";
import { html, useState } from "./view.js";

/** Make the session that a page needs. Gives {session} or {reason, detail}. */
export async function enter(roles) {
  try {
    const session = await signIn();
    if (!session) return { reason: "none" };
    if (!roles.includes(session.role)) return { reason: "role", detail: session.role };
    return { session };
  } catch (error) {
    return { reason: error.status === 0 ? "unreachable" : "refused", detail: error.message };
  }
}

const PROBLEMS = { 0: "signin_unreachable", 429: "signin_too_often" };

/** A quiet page: name and password, or a sign-in link. */
export function SignIn({ page, reason, detail, onSession }) {
  const [byLink, setByLink] = useState(reason === "refused");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    const given = new FormData(event.target);
    forget();
    setBusy(true);
    try {
      const made = byLink
        ? await signIn(given.get("ticket"))
        : await signInAs(given.get("name").trim(), given.get("password"));
      if (made) onSession(made);
      else setProblem(t("signin_empty"));
    } catch (error) {
      setProblem(t(PROBLEMS[error.status] || (byLink ? "signin_refused" : "signin_wrong")));
    }
    setBusy(false);
  };
  const turn = () => {
    setByLink(!byLink);
    setProblem("");
  };
  return html`<main class="signin">
    <form class="card" onSubmit=${submit}>
      <p class="brand">contact-router</p>
      <h1>${t(`signin_title_${page}`)}</h1>
      <p>${t(`signin_${reason}`, { role: detail })}</p>
      ${byLink ? html`<${ByLink} />` : html`<${ByPassword} />`}
      ${problem && html`<p class="problem" role="alert">${problem}</p>`}
      <button class="primary" type="submit" disabled=${busy}>${t("signin_go")}</button>
      <button class="link" type="button" onClick=${turn}>
        ${t(byLink ? "signin_by_password" : "signin_by_link")}
      </button>
      ${byLink && html`<p class="quiet">${t("signin_hint")}</p>`}
    </form>
  </main>`;
}

function ByPassword() {
  return html`
    <label for="name">${t("signin_name")}</label>
    <input id="name" name="name" autocomplete="username" spellcheck="false" autocapitalize="none" required autofocus />
    <label for="password">${t("signin_password")}</label>
    <input id="password" name="password" type="password" autocomplete="current-password" required />
  `;
}

function ByLink() {
  return html`
    <label for="ticket">${t("signin_label")}</label>
    <input
      id="ticket"
      name="ticket"
      type="password"
      autocomplete="off"
      spellcheck="false"
      placeholder=${t("signin_placeholder")}
    />
  `;
}
