// An SMS centre for tests, on npm `smpp`: it shares no code with the adapter that talks to it.
//
//   node smsc.js PORT DIRECTORY
//
// DIRECTORY/submits.jsonl has every submit_sm it got, written before it is answered: what was
// accepted, and what was refused. DIRECTORY/queue.jsonl has what customers wrote and the receipts
// that are due, until they are answered: both survive `kill -9`. Commands come as lines of JSON on
// standard input, events go out on standard output.
'use strict';

const fs = require('fs');
const path = require('path');
const readline = require('readline');
const smpp = require('smpp');

const [port, directory] = [Number(process.argv[2]), process.argv[3]];
const SUBMITS = path.join(directory, 'submits.jsonl');
const QUEUE = path.join(directory, 'queue.jsonl');

// What a test may change with {"do": "set", ...}.
const how = {
  password: 'secret',
  answers: [], // statuses of the next submit_sm, one each; they are not accepted then
  silent: 0, // so many submit_sm are accepted and never answered
  drop: 0, // so many submit_sm are accepted, and the connection ends instead of an answer
  delay: 0, // ms before a submit_sm is answered
  window: 0, // more unanswered ones at once are refused with ESME_RTHROTTLED; 0 = any number
  deliverWindow: 10,
  retry: 50, // ms until a deliver_sm that was refused is said again
  patience: 10000, // ms until a deliver_sm that is not answered is said again
  receipts: 'none', // none, text, tlv, both
  receiptIds: 'same', // same, decimal (answers are hexadecimal), hex (answers are decimal)
  receiptState: 'DELIVRD',
  early: false, // the receipt comes before the answer
  hold: false, // nothing is delivered
  ids: [], // of the next messages, one each: a centre that counts round, or from 1 after a restart
  trouble: {}, // by destination: refuse, silent or close what is submitted to it
};
const STATES = { ENROUTE: 1, DELIVRD: 2, EXPIRED: 3, DELETED: 4, UNDELIV: 5, REJECTD: 8 };

// The raw octets are needed beside what the library reads in them. It takes the beginning of a
// packet for a whole one when the connection ends there; a centre must not.
const read = smpp.PDU.prototype.fromBuffer;
smpp.PDU.prototype.fromBuffer = function (buffer) {
  if (buffer.length < buffer.readUInt32BE(0)) throw Error('the packet is cut off');
  Object.defineProperty(this, 'raw', { value: Buffer.from(buffer), enumerable: false });
  return read.call(this, buffer);
};
smpp.PDU.maxLength = 70000;

const say = (event, more) => process.stdout.write(JSON.stringify({ event, ...more }) + '\n');
const lines = (file) =>
  fs.existsSync(file)
    ? fs.readFileSync(file, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line))
    : [];
// Moments of the machine's monotonic clock, in microseconds: comparable with another process's.
const nowUs = () => Number(process.hrtime.bigint() / 1000n);
const append = (file, row) => fs.appendFileSync(file, JSON.stringify(row) + '\n');

let accepted = lines(SUBMITS).filter((row) => row.status === 0).length;
const queue = new Map();
for (const row of lines(QUEUE)) {
  if (row.done !== undefined) queue.delete(row.done);
  else queue.set(row.id, row);
}
const past = new Map();
const sessions = new Set();

// --- what customers write, and receipts -----------------------------------------------------

function put(row) {
  append(QUEUE, row);
  queue.set(row.id, row);
  deliver();
}

function pduOf(row) {
  const options = { ...row.pdu };
  if (options.hex !== undefined) {
    options.short_message = Buffer.from(options.hex, 'hex');
    delete options.hex;
  } else if (row.udh) {
    options.short_message = { udh: Buffer.from(row.udh, 'hex'), message: row.text };
  } else if (row.payload) {
    options.message_payload = { message: row.text };
  } else {
    options.short_message = row.text;
  }
  return options;
}

function deliver() {
  if (how.hold) return;
  const ready = [...sessions].filter((session) => session.bound);
  if (!ready.length) return;
  for (const row of queue.values()) {
    if (row.sent || row.waits) continue;
    const session = ready.find((one) => one.outstanding.size < how.deliverWindow);
    if (!session) return;
    const key = `${row.id}@${Date.now()}:${Math.random()}`;
    row.sent = key;
    session.outstanding.set(key, row);
    row.timer = setTimeout(() => {
      if (row.sent === key) {
        session.outstanding.delete(key);
        row.sent = null;
        say('repeated', { id: row.id });
        deliver();
      }
    }, how.patience);
    session.deliver_sm(pduOf(row), (answer) => {
      say('answered', { id: row.id, status: answer.command_status, name: row.name, at_us: nowUs() });
      session.outstanding.delete(key);
      if (row.sent !== key) return;
      clearTimeout(row.timer);
      row.sent = null;
      if (answer.command_status === 0 || answer.command_status === smpp.ESME_RX_R_APPN) {
        append(QUEUE, { done: row.id });
        queue.delete(row.id);
        past.set(row.id, row);
      } else {
        row.waits = true;
        row.again = () => {
          row.waits = false;
          deliver();
        };
        setTimeout(row.again, how.retry);
      }
      deliver();
    });
  }
}

// --- what we are told to send -----------------------------------------------------------------

function receiptOf(id, pdu, counted) {
  const number = how.receiptIds === 'decimal' ? parseInt(id, 16) : Number(id);
  const told = how.receiptIds === 'decimal' ? String(number)
    : how.receiptIds === 'hex' ? number.toString(16).toUpperCase().padStart(8, '0') : id;
  const options = {
    source_addr: pdu.destination_addr, source_addr_ton: pdu.dest_addr_ton,
    destination_addr: pdu.source_addr, dest_addr_ton: pdu.source_addr_ton,
    esm_class: 0x04, data_coding: 0,
  };
  if (how.receipts !== 'text') {
    options.receipted_message_id = told;
    options.message_state = STATES[how.receiptState];
  }
  const err = how.receiptState === 'DELIVRD' ? '000' : '006';
  const text = how.receipts === 'tlv' ? ''
    : `id:${told} sub:001 dlvrd:001 submit date:2611220346 done date:2611220347 ` +
      `stat:${how.receiptState} err:${err} text:`;
  return { id: `receipt-${id}-${counted}`, name: `receipt-${id}`, text, pdu: options };
}

function textOf(pdu) {
  const said = pdu.message_payload && pdu.message_payload.message !== undefined
    ? pdu.message_payload : pdu.short_message;
  if (!said) return '';
  return typeof said.message === 'string' ? said.message : said.message.toString('latin1');
}

function submitted(session, pdu) {
  const at_us = nowUs();
  session.unanswered += 1;
  const most = (session.most = Math.max(session.most, session.unanswered));
  let status = 0;
  const trouble = how.trouble[pdu.destination_addr];
  if (trouble === 'close') return session.destroy();
  if (trouble === 'refuse') status = smpp.ESME_RINVDSTADR;
  else if (how.window && session.unanswered > how.window) status = smpp.ESME_RTHROTTLED;
  else if (how.answers.length) status = how.answers.shift();
  const counted = status ? 0 : ++accepted;
  const id = status ? '' : how.ids.shift() || counted.toString(how.receiptIds === 'decimal' ? 16 : 10);
  const udh = pdu.short_message && pdu.short_message.udh;
  append(SUBMITS, {
    status, id, most, text: textOf(pdu), at: Date.now(),
    source: pdu.source_addr, sourceTon: pdu.source_addr_ton, sourceNpi: pdu.source_addr_npi,
    destination: pdu.destination_addr, ton: pdu.dest_addr_ton, npi: pdu.dest_addr_npi,
    coding: pdu.data_coding, esm: pdu.esm_class, registered: pdu.registered_delivery,
    udh: udh ? Buffer.concat(udh).toString('hex') : '',
    sar: [pdu.sar_msg_ref_num, pdu.sar_segment_seqnum, pdu.sar_total_segments],
    bytes: pdu.raw.length, session: session.number,
  });
  say('submitted', { id, status, text: textOf(pdu), destination: pdu.destination_addr, at_us });
  const wantsReceipt = !status && how.receipts !== 'none' && pdu.registered_delivery & 1;
  if (!status && how.drop > 0) {
    how.drop -= 1;
    session.destroy();
    return;
  }
  if (!status && (how.silent > 0 || trouble === 'silent')) {
    if (!trouble) how.silent -= 1;
    return;
  }
  if (wantsReceipt && how.early) put(receiptOf(id, pdu, counted));
  setTimeout(() => {
    session.unanswered -= 1;
    session.send(pdu.response({ command_status: status, message_id: id }));
    if (wantsReceipt && !how.early) put(receiptOf(id, pdu, counted));
  }, how.delay + (how.early ? 200 : 0));
}

// --- connections --------------------------------------------------------------------------------

let numbers = 0;
const server = smpp.createServer((session) => {
  Object.assign(session, { number: ++numbers, outstanding: new Map(), unanswered: 0, most: 0 });
  sessions.add(session);
  session.on('bind_transceiver', (pdu) => {
    const ok = pdu.password === how.password;
    session.send(pdu.response({ command_status: ok ? 0 : smpp.ESME_RINVPASWD, system_id: 'smsc' }));
    if (!ok) return session.close();
    session.bound = true;
    say('bound', { system: pdu.system_id, session: session.number });
    deliver();
  });
  session.on('submit_sm', (pdu) => submitted(session, pdu));
  session.on('enquire_link', (pdu) => session.send(pdu.response()));
  session.on('unbind', (pdu) => {
    say('unbound', { session: session.number });
    session.send(pdu.response());
    session.close();
  });
  session.on('unknown', (pdu) => session.send(pdu.response()));
  for (const kind of ['generic_nack', 'unbind_resp', 'enquire_link_resp']) {
    session.on(kind, (pdu) => say(kind, { status: pdu.command_status, session: session.number }));
  }
  session.on('error', () => session.destroy());
  session.on('close', () => {
    sessions.delete(session);
    for (const [key, row] of session.outstanding) {
      if (row.sent === key) {
        clearTimeout(row.timer);
        row.sent = null;
      }
    }
    say('closed', { session: session.number });
    deliver();
  });
});
server.listen(port, '127.0.0.1', () => say('listening', { port: server.address().port }));

// --- commands -----------------------------------------------------------------------------------

const commands = {
  set: (command) => {
    delete command.do;
    Object.assign(how, command);
    deliver();
  },
  // {"do": "write", "id", "text"?, "udh"?: hex, "payload"?: true, "pdu": {...}}: one packet
  write: ({ id, name, text, udh, payload, pdu }) => put({ id, name, text, udh, payload, pdu }),
  // The same once more: what was refused at once, what was taken as after a lost connection.
  again: ({ id }) => {
    if (queue.has(id)) {
      const row = queue.get(id);
      if (row.again) row.again();
      return;
    }
    const row = past.get(id);
    past.delete(id);
    put({ ...row, sent: null, timer: undefined, again: undefined });
  },
  destroy: () => [...sessions].forEach((session) => session.destroy()),
  // The octets as they are, to every bound session: what no library would send.
  raw: ({ hex }) => [...sessions].forEach((session) => session.socket.write(Buffer.from(hex, 'hex'))),
  call: ({ name }) => [...sessions].forEach((session) => session[name]()),
  left: () => say('left', { count: queue.size }),
};
readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const command = JSON.parse(line);
  const name = command.do;
  commands[name](command);
  say('did', { command: name, tag: command.tag });
}).on('close', () => process.exit(0));
