#!/usr/bin/env node
/**
 * A small IVR: greets callers with a menu, asks the router where they would go and how long it
 * takes, brings them in, and does with call and phones what the router says. README.md: how to run it.
 *
 *   node ivr.js --url ws://127.0.0.1:8080/v1/channels/ivr --token-file ivr.token [--menu menu.json]
 *
 * Commands come as lines of JSON on standard input, events go as lines of JSON to standard output.
 */

import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

import { Exchange } from './exchange.js';
import { CallFailed, EffectFailed, RouterLink } from './link.js';

const { values: options } = parseArgs({
  options: {
    url: { type: 'string' },
    'token-file': { type: 'string' },
    menu: { type: 'string', default: new URL('menu.json', import.meta.url).pathname },
  },
});
if (!options.url || !options['token-file']) {
  console.error('usage: ivr.js --url ws://host:port/v1/channels/NAME --token-file FILE [--menu FILE]');
  process.exit(2);
}
const menu = JSON.parse(readFileSync(options.menu, 'utf8'));
const token = readFileSync(options['token-file'], 'utf8').trim();

const tell = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);
const exchange = new Exchange(tell);
const link = new RouterLink({
  url: options.url,
  token,
  perform,
  live: () => exchange.calls.filter((call) => call.data.isKnown).map((call) => call.id),
  tell: (event, detail = '') => {
    tell({ event, detail });
    if (event === 'refused') process.exitCode = 1;
  },
});

// -- a caller ----------------------------------------------------------------------------------

exchange.onCall = async (call) => {
  const choice = await choose(call);
  if (!choice || !exchange.call(call.id)) return;
  try {
    const { route } = await link.call('route', {
      request: { request: `${call.id}-route`, entry_point: choice, customer: { address: call.from } },
    }, 5_000);
    if (route.deflect) {
      sayAndHangUp(call, route.deflect);
      return;
    }
    const minutes = Math.ceil((route.wait_us ?? -1) / 60e6);
    exchange.say(call.id, minutes > 0 ? menu.wait.replace('{minutes}', minutes) : menu.moment);
  } catch (error) {
    if (!(error instanceof CallFailed)) throw error;
    exchange.say(call.id, menu.moment); // an estimate is no reason to lose a caller
  }
  await bringIn(call, choice);
};

/** The entry point that the caller has chosen; the last one for who chooses nothing. */
async function choose(call) {
  const prompts = Object.entries(menu.choices);
  exchange.say(call.id, menu.welcome);
  for (let tries = 0; tries < 2; tries += 1) {
    const key = await exchange.collect(call.id, 1, menu.timeout_ms);
    if (menu.choices[key]) {
      call.data.key = key;
      return menu.choices[key];
    }
    exchange.say(call.id, menu.again);
  }
  return prompts.at(-1)[1];
}

async function bringIn(call, entryPoint) {
  // Before the answer: the router may ring somebody sooner than it tells us that it has the call.
  call.data.isKnown = true;
  try {
    await link.call('submit', {
      contact: {
        external_id: call.id,
        customer: { address: call.from },
        entry_point: entryPoint,
        attributes: { menu: call.data.key ?? 'none' },
      },
    }, 20_000);
  } catch (error) {
    call.data.isKnown = false;
    tell({ event: 'not_taken', call: call.id, code: error.code });
    sayAndHangUp(call, menu.busy);
    return;
  }
  if (!exchange.call(call.id)) await left(call); // they went while we said it
}

function sayAndHangUp(call, text) {
  exchange.say(call.id, text);
  exchange.end(call.id);
}

exchange.onHangUp = async (call) => {
  if (!call.data.isKnown) return;
  if (call.phone) await insist('ended', { external_id: call.id, reason: 'caller hung up' });
  else await left(call);
};

const left = (call) => insist('left', { external_id: call.id, reason: 'caller hung up' });

// -- an agent's phone --------------------------------------------------------------------------

exchange.onAnswer = (reservation) => insist('connected', { reservation });
exchange.onDecline = (reservation) =>
  insist('failed', { reservation, reason: 'declined at the phone', busy: true });
exchange.onPutDown = (reservation) => insist('hung_up', { reservation, reason: 'agent hung up' });

/** A fact is said until it is taken; refused means that it is over for the router already. */
async function insist(type, fields) {
  try {
    await link.call(type, fields, 120_000);
  } catch (error) {
    if (!(error instanceof CallFailed)) throw error;
    tell({ event: 'refused_fact', type, code: error.code });
  }
}

// -- what the router decides -------------------------------------------------------------------

async function perform(frame) {
  const { effect, external_id: id } = frame;
  switch (effect.type) {
    case 'OfferContact':
      if (effect.endpoint) ring(effect, id);
      break;
    case 'ConnectAgent': // accepted at the desk: the agent's phone takes the call by itself
      if (!exchange.call(id)) throw new EffectFailed('the caller is gone');
      if (!ring(effect, id)) throw new EffectFailed('the phone is busy');
      exchange.answer(effect.endpoint);
      break;
    case 'RescindOffer':
    case 'DisconnectAgent':
      exchange.release(effect.reservation);
      break;
    case 'HoldContact':
      exchange.hold(id, effect.held);
      break;
    case 'TreatContact':
      exchange.say(id, effect.text || `(${effect.kind})`);
      break;
    case 'DeliverMessage':
      if (!exchange.call(id)) throw new EffectFailed('the caller is gone');
      exchange.say(id, frame.text);
      break;
    case 'CollectFromContact':
      ask(id, effect);
      break;
    case 'EndContact':
      if (effect.text) exchange.say(id, effect.text);
      exchange.end(id);
      break;
    default:
      throw new EffectFailed(`this exchange cannot do ${effect.type}`);
  }
}

function ring(effect, id) {
  const isFree = exchange.ring(effect.endpoint, effect.reservation, id);
  if (!isFree && effect.type === 'OfferContact') {
    insist('failed', { reservation: effect.reservation, reason: 'busy', busy: true });
  }
  return isFree;
}

/** A question that is restated under the same `ask` is put once. */
async function ask(id, effect) {
  const call = exchange.call(id);
  if (!call || call.data.ask === effect.ask) return;
  call.data.ask = effect.ask;
  const choices = Object.entries(effect.choices ?? {});
  const spoken = choices.map(([key, words]) => `${key}: ${words}`);
  exchange.say(id, [effect.prompt, ...spoken].join('. '));
  const count = choices.length ? 1 : (effect.digits ?? 1);
  const ms = (effect.timeout_us ?? 10_000_000) / 1000;
  const until = Date.now() + ms;
  let value = await exchange.collect(id, count, ms);
  while (value && choices.length && !(effect.choices[value] ?? '')) {
    value = await exchange.collect(id, count, until - Date.now());
  }
  await insist('collected', {
    external_id: id, name: effect.name, value, ask: effect.ask, timed_out: value === '',
  });
}

// -- the script --------------------------------------------------------------------------------

const COMMANDS = {
  call: ({ call, from, to }) => exchange.arrive(call, from, to),
  press: ({ call, key }) => exchange.press(call, key),
  hang_up: ({ call }) => exchange.hangUp(call),
  pick_up: ({ phone }) => exchange.answer(phone),
  decline: ({ phone }) => exchange.decline(phone),
  put_down: ({ phone }) => exchange.putDown(phone),
  cut: ({ for_ms: forMs = 200 }) => link.cut(forMs),
};

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  let command;
  try {
    command = JSON.parse(line);
    COMMANDS[command.do](command);
  } catch (error) {
    tell({ event: 'error', detail: `not understood: ${error.message}` });
  }
});
lines.on('close', () => link.stop());
link.start();
