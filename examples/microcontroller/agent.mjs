// A microcontroller as an agent, from docs/microcontrollers.md alone: a lamp with two actions.
//   node agent.mjs mqtt://127.0.0.1:1883 lamp:SECRET flash.json
// `mesq run --constraint agent==lamp -- set on` switches it; `-- blink 5` blinks for 5 s, and can be killed.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import mqtt from 'mqtt';

const [, , url = 'mqtt://127.0.0.1:1883', credentials = 'lamp', flash = 'flash.json'] = process.argv;
const [name, password] = credentials.split(':');
// All that outlives a reboot: how often it has booted. Written before anything is sent.
const counter = existsSync(flash) ? JSON.parse(readFileSync(flash, 'utf8')).counter + 1 : 1;
writeFileSync(flash, JSON.stringify({ counter }));

const me = { agent: `mcu-${name}`, incarnation: `boot-${counter}` }; // on a chip: its own number
const about = { ...me, resources: 'cpus:1;mem:128', attributes: 'runs:actions;board:lamp' };
const runs = new Map(); // framework/task/attempt → what became of it since it booted
let fence; // of the session: cluster, generation, term, epoch; in RAM alone
let [leads, open] = [false, false]; // this broker is the leader's; the session is established on this connection
const will = { v: 1, type: 'PRESENCE', incarnation: me.incarnation, session: 0, online: false };
const client = mqtt.connect(url, {
  ...{ clientId: `${name}~1`, username: name, password, reconnectPeriod: 500, resubscribe: false },
  will: { topic: `mesq/agents/${name}/presence`, payload: JSON.stringify(will), qos: 1 },
});
const runOf = ({ framework, task, attempt }) => runs.get(`${framework}/${task}/${attempt}`);
const lives = ({ state }) => state === 'TASK_RUNNING';
const untold = () => [...runs.values()].filter((run) => lives(run) || run.updates.length > 0);
const listed = ({ key, sequence, updates }) => ({ ...key, state: 'TASK_RUNNING', sequence: sequence - updates.length });
const send = (message, to = 'up') =>
  client.connected && client.publish(`mesq/agents/${name}/${to}`, JSON.stringify({ v: 1, ...message }), { qos: 1 });
/** What is not acknowledged goes out with each new report, with each session, and now and then. */
const tell = ({ updates }) => open && updates.length > 0 && send({ type: 'UPDATE', epoch: fence.epoch, updates });

function greet() {
  if (open || !leads) return;
  if (fence === undefined) send({ type: 'REGISTER', name, counter, ...about, tasks: untold().map(listed) });
  else send({ type: 'RESUME', ...fence, cluster: { uuid: fence.cluster, generation: fence.generation }, ...about });
}

function report(run, state, more) {
  Object.assign(run, { state, sequence: run.sequence + 1 });
  run.updates.push({ ...run.key, ...more, state, sequence: run.sequence, uuid: `${run.number}-${run.sequence}` });
  tell(run);
  if (!lives(run)) for (const grant of run.readers.splice(0)) answer(run, grant);
}

function answer({ output }, { request, client: reader, session, stream, from, until }) {
  const text = stream === 'stdout' ? output : ''; // ASCII: a character is a byte
  const offset = from < 0 ? Math.max(0, text.length + from) : from;
  const data = Buffer.from(text.slice(offset, until)).toString('base64');
  send({ type: 'CHUNK', request, client: reader, session, offset, data, end: until >= text.length }, 'bulk');
}

function start({ framework, info: { task, attempt, argv } }) {
  const key = { framework, task, attempt };
  if (runOf(key) !== undefined) return tell(runOf(key)); // sent again: nothing starts twice
  const [action, value] = argv;
  const run = { key, number: `${counter}-${runs.size}`, sequence: 0, updates: [], readers: [], output: '' };
  runs.set(`${framework}/${task}/${attempt}`, run);
  report(run, 'TASK_RUNNING', { message: `${action} ${value}` });
  const done = () => {
    run.output = `the lamp is ${value}\n`;
    report(run, 'TASK_FINISHED', { exitCode: 0, output: { stdout: run.output.length, stderr: 0 } });
  };
  if (action === 'set') return done();
  if (action === 'blink') return Object.assign(run, { timer: setTimeout(done, value * 1_000) });
  return report(run, 'TASK_FAILED', { exitCode: 127, reason: 'COMMAND_NOT_FOUND', message: `no action ${action}` });
}

function kill(run) {
  clearTimeout(run?.timer);
  if (run !== undefined && lives(run)) report(run, 'TASK_KILLED', { reason: 'KILLED_BY_REQUEST' });
}

function obey(m) {
  if (m.type === 'READ') return runOf(m) && (lives(runOf(m)) ? runOf(m).readers.push(m) : answer(runOf(m), m));
  if (m.type === 'REFUSED' && !m.register) return console.error(m.fault.code, m.fault.message, m.fault.hint);
  if (m.type === 'REFUSED') [fence, open] = [undefined, false];
  if (m.type === 'REFUSED' || (m.type === 'REGISTERED' && m.counter !== counter)) return greet();
  const { cluster, generation, term, epoch } = fence ?? m;
  if (m.cluster !== cluster || m.generation < generation || (m.generation === generation && m.term < term)) return;
  if (m.type !== 'REGISTERED' && (fence === undefined || m.epoch !== epoch)) return; // of another session
  fence = { cluster, generation: m.generation, term: m.term, epoch: m.epoch };
  open ||= m.type === 'REGISTERED' || m.type === 'RESUMED';
  if (m.type === 'RUN') m.tasks.forEach(start);
  if (m.type === 'KILL') m.tasks.map(runOf).forEach(kill);
  for (const run of m.type === 'ACKNOWLEDGE' ? runs.values() : [])
    run.updates = run.updates.filter(({ uuid }) => !m.updates.includes(uuid));
  if (m.type === 'RECONCILE') send({ ...m, type: 'TASKS', tasks: untold().map(listed) });
  if (m.type === 'REGISTERED' || m.type === 'RESUMED') untold().forEach(tell);
}

setInterval(() => [greet(), untold().forEach(tell)], 10_000);
client.on('error', ({ message }) => console.error(message));
client.on('connect', () => client.subscribe([`mesq/agents/${name}/down`, 'mesq/leader'], { qos: 1 }));
client.on('close', () => ([leads, open] = [false, false]));
client.on('message', (topic, payload) => {
  if (topic !== 'mesq/leader') return obey(JSON.parse(payload));
  [leads, open] = [JSON.parse(payload).here, false];
  return greet();
});
