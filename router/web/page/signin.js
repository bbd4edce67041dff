// What stands on a page before there is a session: signing in, and why not.

import { forget, signIn } from "./session.js";
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

/** A quiet page with one field: paste a sign-in link. */
export function SignIn({ page, reason, detail, onSession }) {
  const [typed, setTyped] = useState("");
  const [problem, setProblem] = useState("");
  const submit = async (event) => {
    event.preventDefault();
    forget();
    try {
      const session = await signIn(typed);
      if (session) onSession(session);
      else setProblem(t("signin_empty"));
    } catch (error) {
      setProblem(error.status === 0 ? t("signin_unreachable") : t("signin_refused"));
    }
  };
  return html`<main class="signin">
    <form class="card" onSubmit=${submit}>
      <p class="brand">contact-router</p>
      <h1>${t(`signin_title_${page}`)}</h1>
      <p>${t(`signin_${reason}`, { role: detail })}</p>
      <label for="ticket">${t("signin_label")}</label>
      <input
        id="ticket"
        type="password"
        autocomplete="off"
        spellcheck="false"
        placeholder=${t("signin_placeholder")}
        value=${typed}
        onInput=${(event) => setTyped(event.target.value)}
      />
      ${problem && html`<p class="problem" role="alert">${problem}</p>`}
      <button class="primary" type="submit">${t("signin_go")}</button>
      <p class="quiet">${t("signin_hint")}</p>
    </form>
  </main>`;
}
