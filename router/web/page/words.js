// Events and decisions in words. Reads what the journal says and adds nothing.

import { clockTime, length } from "./format.js";
import { has, t, word } from "./texts.js";

/** Requirements {skill: level} as "en 5, billing 6". */
export function requirementWords(requirements) {
  const each = Object.entries(requirements || {}).map(([skill, level]) => `${skill} ${level}`);
  return each.length ? each.join(", ") : t("requirements_none");
}

/** An id short enough to be told: its end differs, its beginning is the time. The whole one is in the title. */
export function shortId(id) {
  return id.length > 12 ? `…${id.slice(-7)}` : id;
}

/** Is it worth telling? Deliveries are, when they fail or carry a message; attempts are not. */
export function isTold(event) {
  if (event.type !== "EffectSettled") return true;
  return event.result === "done" ? !!event.message : event.result !== "attempting";
}

/** A presence with its reason. */
export function presenceWords(presence, reason) {
  return presence === "not_ready" && reason ? word("reason", reason) : t(`presence_${presence}`);
}

/** How an event reads in a timeline. `nameOf(agent)` gives an agent's name. */
export function eventWords(event, nameOf) {
  const values = {
    ...event,
    agent: event.agent ? nameOf(event.agent) : t("the_router"),
    by: event.by ? nameOf(event.by) : t("the_router"),
    reason: event.reason ? word("reason", event.reason) : "",
    listener: event.listener ? nameOf(event.listener) : "",
    mode: event.mode ? word("mode", event.mode) : "",
    outcome: event.outcome ? word("outcome", event.outcome) : "",
    state: event.state ? word("state", event.state) : "",
    requirements: requirementWords(asMap(event.requirements)),
    result: event.result ? t(`result_${event.result}`) : "",
    deadline: event.deadline_at_us ? length(event.deadline_at_us - event.at_us) : "",
    promised: event.promised_wait_us > 0 ? length(event.promised_wait_us) : "",
    head_start: length(event.head_start_us || 0),
    units: event.units ?? "",
    presence: event.presence ? t(`presence_${event.presence}`) : "",
    channel: event.channel ? word("channel", event.channel) : "",
    from_channel: event.from_channel ? word("channel", event.from_channel) : "",
  };
  const text = has(`event_${event.type}`) ? t(`event_${event.type}`, values) : event.type;
  return values.reason ? `${text} (${values.reason})` : text;
}

/** Which meaning an event has, for its mark on the timeline. */
export function eventMeaning(event) {
  if (/^(OfferExpired|ReservationFailed|AgentLost|CommandDeadLettered)$/.test(event.type)) return "bad";
  if (event.type === "EffectSettled") return /^(done|delivered)$/.test(event.result) ? "good" : "bad";
  if (event.type === "ContactClosed") return event.outcome === "completed" ? "good" : "attention";
  if (/^(OfferAccepted|ReservationConnected)$/.test(event.type)) return "good";
  if (/^(OfferRejected|OfferRescinded|ContactReturned|ContactOverflowed|ContactRelaxed)$/.test(event.type)) {
    return "attention";
  }
  return "neutral";
}

function termWords(term, atUs) {
  const { name, value = 0 } = term; // an empty value may have been left out
  if (!has(`term_${name}`)) return `${name} ${value}`;
  if (name === "due_us") {
    return value < atUs
      ? t("term_overdue", { value: length(atUs - value) })
      : t("term_due_us", { value: length(value - atUs) });
  }
  if (name.endsWith("_at_us")) return t(`term_${name}`, { value: value ? clockTime(value) : "–" });
  if (name === "idle_since_us") return t("term_idle_since_us", { value: length(atUs - value) });
  if (name === "load") return t("term_load", { value: Math.round(value * 100) });
  return t(`term_${name}`, { value: name === "fit" ? Math.round(-value * 10) / 10 : value });
}

/** The terms of one candidate, in the order in which they were compared. */
export function candidateWords(candidate, atUs) {
  return (candidate.terms || []).map((term) => termWords(term, atUs)).join(" · ");
}

/**
 * A decision as sentences: who looked for whom, by which rule, what decided, and who came next.
 * `atUs`: when it was made. `nameOf` names an agent.
 */
export function decisionWords(decision, atUs, nameOf) {
  const byContact = decision.edge === "contact";
  const said = [];
  if (decision.edge === "pull") {
    const by = decision.winner.terms?.find((term) => term.name === "by");
    return [t("why_pull", { by: by ? nameOf(by.value) : t("the_router") })];
  }
  const eligible = decision.eligible ?? 1;
  const count = decision.eligible_more ? `${eligible}+` : eligible;
  if (byContact) {
    said.push(eligible === 1 ? t("why_only_agent") : t("why_agents", { count }));
    if (has(`strategy_${decision.strategy}`)) said.push(t(`strategy_${decision.strategy}`));
  } else {
    said.push(t("why_room"), eligible === 1 ? t("why_only_contact") : t("why_contacts", { count }));
  }
  if (decision.runners_up?.length) {
    const decided = decidingTerm(decision.winner, decision.runners_up[0]);
    if (decided) {
      said.push(
        t("why_decided", {
          name: has(`term_name_${decided.name}`) ? t(`term_name_${decided.name}`) : decided.name,
          mine: termWords(decided.mine, atUs),
          next: byContact ? nameOf(decision.runners_up[0].id) : shortId(decision.runners_up[0].id),
          theirs: termWords(decided.theirs, atUs),
        }),
      );
    }
  }
  const asked = Object.keys(asMap(decision.requirements)).length;
  if (asked) said.push(t("why_required", { requirements: requirementWords(asMap(decision.requirements)) }));
  if (decision.step) said.push(t("why_step", { n: decision.step }));
  if (decision.rule) said.push(t("why_rule", { rule: decision.rule }));
  return said;
}

/** Requirements come as {skill: level} or as pairs; give the first. */
function asMap(requirements) {
  return Array.isArray(requirements) ? Object.fromEntries(requirements) : requirements || {};
}

/** The first term in which the winner and the runner-up differ. */
export function decidingTerm(winner, next) {
  for (const [place, mine] of (winner.terms || []).entries()) {
    const theirs = next.terms?.[place];
    if (!theirs) return null;
    if (mine.name !== theirs.name || mine.value !== theirs.value) return { name: mine.name, mine, theirs };
  }
  return null;
}
