// What stands on a page before there is a session: signing in, and why not.

import { forget, justLeft, refusal, signIn, signInAs, waysIn } from "./session.js";
import { t } from "./texts.js";
import { html, useEffect, useState } from "./view.js";

/** Make the session that a page needs. Gives {session} or {reason, detail}. */
export async function enter(roles) {
  try {
    const code = refusal();
    const session = await signIn();
    if (!session && code) return { reason: `oidc_${code}` };
    if (!session) return { reason: "none" };
    if (!roles.includes(session.role)) return { reason: "role", detail: session.role };
    return { session };
  } catch (error) {
    return { reason: error.status === 0 ? "unreachable" : "refused", detail: error.message };
  }
}

const PROBLEMS = { 0: "signin_unreachable", 429: "signin_too_often" };

/** A quiet page: the company's account, name and password, or a sign-in link. */
export function SignIn({ page, reason, detail, onSession }) {
  const [ways, setWays] = useState(null);
  const [left] = useState(() => (reason === "none" ? justLeft() : ""));
  const [byLink, setByLink] = useState(reason === "refused");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  useEffect(() => void waysIn().then(setWays), []);
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
  if (!ways) return html`<main class="signin" aria-busy="true" />`;
  // Who came back from the provider without getting in hears so as an alert.
  const refused = reason.startsWith("oidc_");
  const typed = byLink || ways.password;
  return html`<main class="signin">
    <form class="card" onSubmit=${submit}>
      <p class="brand">contact-router</p>
      <h1>${t(`signin_title_${page}`)}</h1>
      <p class=${refused ? "problem" : ""} role=${refused ? "alert" : undefined}>
        ${left ? t("signin_left") : t(`signin_${reason}`, { role: detail })}
      </p>
      ${left && left !== "here" && html`<${Elsewhere} page=${page} provider=${left} />`}
      ${ways.provider &&
      !byLink &&
      html`<a class="button ${typed ? "" : "primary"} wide" href=${`/v1/oidc/start?page=${page}`} onClick=${forget}>
        ${t("signin_provider", { provider: ways.provider })}
      </a>`}
      ${ways.provider && typed && !byLink && html`<p class="or quiet">${t("signin_or")}</p>`}
      ${byLink ? html`<${ByLink} />` : ways.password && html`<${ByPassword} focus=${!ways.provider} />`}
      ${problem && html`<p class="problem" role="alert">${problem}</p>`}
      ${typed && html`<button class="primary" type="submit" disabled=${busy}>${t("signin_go")}</button>`}
      <button class="link" type="button" onClick=${turn}>
        ${t(byLink ? (ways.password ? "signin_by_password" : "signin_back") : "signin_by_link")}
      </button>
      ${byLink && html`<p class="quiet">${t("signin_hint")}</p>`}
    </form>
  </main>`;
}

/** The company's own session goes on after ours has ended: on a shared machine that matters. */
function Elsewhere({ page, provider }) {
  return html`<p class="quiet">
    ${t("signin_still", { provider })} <a href=${`/v1/oidc/leave?page=${page}`}>${t("signin_leave", { provider })}</a>
  </p>`;
}

function ByPassword({ focus }) {
  return html`
    <label for="name">${t("signin_name")}</label>
    <input id="name" name="name" autocomplete="username" spellcheck="false" autocapitalize="none" required autofocus=${focus} />
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
