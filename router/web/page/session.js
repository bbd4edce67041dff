// Signing in, and HTTP with the session's token. The token lives in this tab only.

const KEY = "contact-router.session";
const LEFT = "contact-router.left";

/** The answer was not 2xx. `code` is the router's; `status` 0 means that there was no answer; `findings` say what is wrong with settings. */
export class HttpError extends Error {
  constructor(status, code, text, findings = []) {
    super(text);
    this.status = status;
    this.code = code;
    this.findings = findings;
  }
}

/** The session of this tab, or null. */
export function session() {
  try {
    const held = JSON.parse(sessionStorage.getItem(KEY) || "null");
    // Whether it still holds is the server's to say: this machine's clock may be wrong.
    if (held?.token) return held;
  } catch {
    // Not ours, or damaged: sign in again.
  }
  return null;
}

/** Forget the session, here and on the server. The page that follows says so. */
export async function signOut() {
  const held = session();
  forget();
  if (!held) return;
  sessionStorage.setItem(LEFT, held.provider || "here");
  await request("DELETE", "/v1/session", undefined, held.token).catch(() => {});
}

/** Where one has just signed out: "here", or the provider's name, whose session goes on. */
export function justLeft() {
  const left = sessionStorage.getItem(LEFT) || "";
  sessionStorage.removeItem(LEFT);
  return left;
}

/** Forget the session here only (the server has refused it). */
export function forget() {
  sessionStorage.removeItem(KEY);
}

/** Exchange the ticket in the address (or one that was typed) for a session. */
export async function signIn(typed = "") {
  const inAddress = /(?:^#|&)ticket=([\w-]+)/.exec(location.hash);
  const ticket = (/ticket=([\w-]+)/.exec(typed) || [, typed.trim()])[1] || (inAddress && inAddress[1]);
  // First of all: the ticket must not stay in the address bar or in the history.
  if (inAddress) history.replaceState(null, "", location.pathname + location.search);
  if (!ticket) return session();
  const made = await request("POST", "/v1/session", { ticket }, "");
  sessionStorage.setItem(KEY, JSON.stringify(made));
  return made;
}

/** Why the identity provider's way in has led nowhere: a word in the address, taken out of it. */
export function refusal() {
  const [, code] = /(?:^#|&)refused=(\w{1,20})$/.exec(location.hash) || [];
  if (code) history.replaceState(null, "", location.pathname + location.search);
  return code || "";
}

/** How people may sign in here: {password, provider}. Passwords, where nobody says. */
export function waysIn() {
  return request("GET", "/v1/session:ways", undefined, "", 3_000).catch(() => ({ password: true, provider: "" }));
}

/** A name and a password become a session. Raises HttpError. */
export async function signInAs(name, password) {
  const made = await request("POST", "/v1/session:password", { name, password }, "");
  sessionStorage.setItem(KEY, JSON.stringify(made));
  return made;
}

/** GET with the session's token; reports may be given longer. Raises HttpError. */
export function get(path, mostMs) {
  return request("GET", path, undefined, session()?.token, mostMs);
}

/** GET what is not JSON, as text. Raises HttpError. */
export function getText(path, mostMs) {
  return request("GET", path, undefined, session()?.token, mostMs, (response) => response.text());
}

/** POST with the session's token; what takes a while may be given longer. Raises HttpError. */
export function post(path, body, mostMs) {
  return request("POST", path, body, session()?.token, mostMs);
}

/** The list `name` in an answer; an empty one may have been left out. */
export async function getList(path, name) {
  return (await get(path))[name] || [];
}

async function request(method, path, body, token, mostMs = 10_000, read = (response) => response.json()) {
  const headers = { Accept: "application/json, text/csv" };
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(mostMs),
    });
  } catch (error) {
    throw new HttpError(0, "unreachable", String(error.message || error));
  }
  if (response.ok) return response.status === 204 ? {} : read(response).catch(() => ({}));
  const answer = await response.json().catch(() => ({}));
  throw new HttpError(response.status, answer.code || "", answer.detail || answer.title || response.statusText, answer.findings);
}
