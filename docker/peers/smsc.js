// An SMSC for tests, by the npm package smpp. Standard input has one JSON object a line: first where to listen and how
// to behave, then {set: {...}}, {cut: true}, {reset: true} and {deliver: {...}}, each answered by an event "done".
// Standard output has one event a line, as it happens. What the keys mean is in docker/rig/smsc.py.
"use strict";
const readline = require("readline");
const smpp = require("smpp");

const STATES = { ENROUTE: 1, DELIVRD: 2, EXPIRED: 3, DELETED: 4, UNDELIV: 5, ACCEPTD: 6, UNKNOWN: 7, REJECTD: 8 };
const USUAL = { bind_status: 0, silent: [], statuses: [], cut_after: 0, delay_ms: 0, receipts: [], id_bases: [10, 10] };
let first;
let behaviour;
const sessions = new Set();
const waiting = []; // receipts for which nobody was bound
const bytes = new WeakMap(); // what was in the PDU, before the package decodes it
let taken = 0;
let connections = 0;
let resets = 0;

const { decode } = smpp.filters.message;
smpp.filters.message.decode = function (value, ...more) {
  if (value.length) bytes.set(this, Buffer.from(value));
  return decode.call(this, value, ...more);
};

// JSON makes an object of a Buffer before a replacer sees it.
const plain = (key, value) => (value && value.type === "Buffer" ? Buffer.from(value.data).toString("hex") : value);
const say = (event, more) => process.stdout.write(JSON.stringify({ event, at: Date.now(), ...more }, plain) + "\n");
const date = () => new Date().toISOString().replace(/\D/g, "").slice(2, 12);

function receiver(preferred) {
  return [preferred, ...sessions].find((one) => sessions.has(one) && one.receives);
}

function deliver(preferred, fields) {
  const session = receiver(preferred);
  if (!session) return waiting.push(fields);
  const pdu = new smpp.PDU("deliver_sm", { ...fields });
  session.send(pdu, (answer) => say("deliver_sm_resp", { session: session.n, ...answer }));
  say("deliver_sm", { session: session.n, ...pdu, ...fields });
}

function receipt(submitted, id, wanted) {
  const stat = wanted.stat || "DELIVRD";
  const err = wanted.err || "000";
  const fields = {
    esm_class: wanted.esm_class === undefined ? 4 : wanted.esm_class,
    source_addr_ton: submitted.dest_addr_ton,
    source_addr_npi: submitted.dest_addr_npi,
    source_addr: submitted.destination_addr,
    dest_addr_ton: submitted.source_addr_ton,
    dest_addr_npi: submitted.source_addr_npi,
    destination_addr: submitted.source_addr,
    data_coding: 0,
    short_message: Buffer.alloc(0),
  };
  if (wanted.form !== "tlv") {
    const done = stat === "DELIVRD" ? "001" : "000";
    const usual = `id:{id} sub:001 dlvrd:${done} submit date:{date} done date:{date} stat:${stat} err:${err} text:`;
    const text = (wanted.text || usual).replace(/{id}/g, id).replace(/{date}/g, date());
    fields.short_message = Buffer.from(text, "latin1");
  }
  if (wanted.form !== "text") {
    fields.receipted_message_id = id;
    fields.message_state = STATES[stat];
  }
  return fields;
}

function wants(registered, stat) {
  if (stat === "ENROUTE" || stat === "ACCEPTD") return Boolean(registered & 0x13);
  return [false, true, stat !== "DELIVRD", stat === "DELIVRD"][registered & 3];
}

function submit(session, pdu) {
  say("submit_sm", {
    session: session.n,
    ...pdu,
    bytes: bytes.get(pdu) || "",
    udh: (pdu.short_message && pdu.short_message.udh) || [],
    text: (pdu.message_payload || pdu.short_message || {}).message || "",
  });
  if (behaviour.cut_after && --behaviour.cut_after === 0) return session.destroy();
  if (behaviour.cut_after || behaviour.silent.includes("submit_sm")) return;
  const status = session.receives === undefined ? smpp.ESME_RINVBNDSTS : behaviour.statuses.shift() || 0;
  if (status) return answer(session, pdu, { command_status: status });
  const [answered, reported] = behaviour.id_bases.map((base) => (1795439100 + taken).toString(base));
  taken += 1;
  for (const wanted of behaviour.receipts.filter((one) => wants(pdu.registered_delivery, one.stat || "DELIVRD"))) {
    const fields = receipt(pdu, reported, wanted);
    if (wanted.before_answer) deliver(session, fields);
    else later(behaviour.delay_ms + (wanted.after_ms || 0), () => deliver(session, fields));
  }
  answer(session, pdu, { message_id: answered });
}

function answer(session, pdu, fields) {
  const send = () => {
    const answered = { session: session.n, sequence_number: pdu.sequence_number, command_status: 0, ...fields };
    if (session.send(pdu.response(fields))) say(`${pdu.command}_resp`, answered);
  };
  if (behaviour.delay_ms) later(behaviour.delay_ms, send);
  else send();
}

// What a reset came before is not done any more.
function later(ms, act) {
  const before = resets;
  setTimeout(() => before === resets && act(), ms);
}

function bind(session, pdu) {
  say("bind", { session: session.n, ...pdu });
  if (behaviour.silent.includes("bind")) return;
  session.send(pdu.response({ command_status: behaviour.bind_status, system_id: "rig" }));
  if (behaviour.bind_status) return session.close();
  session.receives = pdu.command !== "bind_transmitter";
  if (session.receives) for (const fields of waiting.splice(0)) deliver(session, fields);
}

function connected(session) {
  session.n = ++connections;
  sessions.add(session);
  say("connected", { session: session.n });
  session.on("error", (error) => {
    say("error", { session: session.n, text: String(error) });
    session.destroy();
  });
  session.on("close", () => {
    sessions.delete(session);
    say("closed", { session: session.n });
  });
  session.on("pdu", (pdu) => {
    if (pdu.isResponse()) return;
    if (pdu.command.startsWith("bind_")) return bind(session, pdu);
    if (pdu.command === "submit_sm") return submit(session, pdu);
    say(pdu.command, { session: session.n, ...pdu });
    if (behaviour.silent.includes(pdu.command)) return;
    const known = pdu.command === "enquire_link" || pdu.command === "unbind";
    session.send(pdu.response(known ? {} : { command_status: smpp.ESME_RINVCMDID }));
    if (pdu.command === "unbind") session.close();
  });
}

function reset() {
  resets += 1;
  behaviour = JSON.parse(JSON.stringify({ ...USUAL, ...first }));
  waiting.splice(0);
  for (const session of sessions) session.destroy();
}

function listen({ host, port, tls, ...rest }) {
  first = rest;
  reset();
  smpp.createServer(tls || {}, connected).listen(port, host, () => say("listening", { port }));
}

readline
  .createInterface({ input: process.stdin })
  .on("line", (line) => {
    const command = JSON.parse(line);
    if (!first) listen(command);
    Object.assign(behaviour, command.set);
    if (command.cut) for (const session of sessions) session.destroy();
    if (command.reset) reset();
    if (command.deliver) {
      const { text, ...fields } = command.deliver;
      deliver(undefined, { ...fields, short_message: Buffer.from(text || "", "latin1") });
    }
    say("done", {});
  })
  .on("close", () => process.exit(0));
