import type { Action } from '../adapter.ts';
import {
  type ActionResult,
  failed,
  type Heard,
  isFirmwareUrl,
  jsonObject,
  noSuchAction,
  type Script,
  type Turn,
  textIn,
  until,
} from '../device.ts';
import type { Entity } from './discovery.ts';

export const ESPHOME_ACTIONS: readonly Action[] = [
  { name: 'relay', about: 'relay [N or ID] on|off|toggle: switches a switch, light or fan, and tells what it is then' },
  { name: 'sensor', about: 'sensor [ID]: what the sensors said last, as JSON' },
  { name: 'set', about: 'set ID VALUE: a number, text or selection' },
  { name: 'press', about: 'press ID: a button' },
  { name: 'update', about: 'update [ID]: installs what the update entity offers' },
  { name: 'ota', about: 'ota URL: installs the firmware at that URL (docs/devices-as-agents.md)' },
];

const ANSWER_MS = 10_000;
const DOWNLOAD_MS = 600_000;
const RESTART_MS = 180_000;
const SWITCHED = ['switch', 'light', 'fan'];
const SET = ['number', 'text', 'select'];
const READ = ['sensor', 'binary_sensor', 'text_sensor'];

/** What an action needs to know of its device. */
export interface EsphomeState {
  readonly prefix: string;
  readonly entities: readonly Entity[];
  /** Topic → what was said there last. */
  readonly states: ReadonlyMap<string, string>;
}

export function esphomeScript(device: EsphomeState, argv: readonly string[]): Script | ActionResult {
  const [name, ...words] = argv;
  const [first, second] = words;
  switch (name) {
    case 'relay':
      return relayScript(device, words);
    case 'sensor':
      return words.length > 1 ? failed('sensor takes one id, or none for all') : sensors(device, first);
    case 'set': {
      if (first === undefined || second === undefined || words.length > 2 || second.length > 255)
        return failed('set takes an id and a value');
      const entity = device.entities.find(({ component, object }) => SET.includes(component) && object === first);
      return entity === undefined ? unknown(device, first, SET) : set(entity, second, second);
    }
    case 'press': {
      const entity = device.entities.find(({ component, object }) => component === 'button' && object === first);
      return entity?.commandTopic === undefined ? unknown(device, first ?? '', ['button']) : press(entity.commandTopic);
    }
    case 'update': {
      const entity = device.entities.find(
        ({ component, object }) => component === 'update' && (first === undefined || object === first),
      );
      return entity === undefined ? unknown(device, first ?? '', ['update']) : update(device, entity);
    }
    case 'ota':
      return isFirmwareUrl(first) && second === undefined
        ? ota(device, first)
        : failed('ota takes one URL, http:// or https://');
    default:
      return noSuchAction(name, ESPHOME_ACTIONS);
  }
}

function relayScript(device: EsphomeState, words: readonly string[]): Script | ActionResult {
  const [which, wanted] = words.length === 1 ? ['1', words[0]] : words;
  const value = wanted?.toUpperCase() ?? '';
  if (words.length > 2 || which === undefined || !['ON', 'OFF', 'TOGGLE'].includes(value))
    return failed('relay takes the id or the number of a switch, light or fan, and on, off or toggle');
  const switched = device.entities.filter(({ component }) => SWITCHED.includes(component));
  const entity =
    switched.find(({ object }) => object === which) ??
    (/^[1-9]\d*$/.test(which) ? switched[Number(which) - 1] : undefined);
  if (entity === undefined) return unknown(device, which, SWITCHED);
  // A light speaks JSON (Home Assistant's schema), which has no toggle.
  if (entity.component !== 'light') return set(entity, value, value === 'TOGGLE' ? undefined : value);
  const is = switchedOf(device.states.get(entity.stateTopic ?? ''));
  const target = value === 'TOGGLE' ? (is === 'ON' ? 'OFF' : 'ON') : value;
  return set(entity, JSON.stringify({ state: target }), target);
}

/** `wanted` undefined: any state will do. A state that is retained already was heard before. */
function* set({ object, stateTopic, commandTopic }: Entity, payload: string, wanted: string | undefined): Script {
  if (commandTopic === undefined) return failed(`${object} takes no commands`);
  const publish = [{ topic: commandTopic, text: payload }];
  if (stateTopic === undefined) return failed(`${object} says nothing of its state`);
  const answer = yield* until({ publish, waitMs: ANSWER_MS }, ({ topic, text }) =>
    topic === stateTopic && (wanted === undefined || isSame(switchedOf(text) ?? text, wanted))
      ? (switchedOf(text) ?? text)
      : undefined,
  );
  if (answer === 'late')
    return failed(`${object} did not become ${wanted ?? 'anything else'} within ${ANSWER_MS / 1_000} s`);
  return { code: 0, message: `${object} is ${answer}`.slice(0, 200), output: `${answer}\n` };
}

/** `ON`, or the state in a light's JSON. */
function switchedOf(text: string | undefined): string | undefined {
  return text === undefined
    ? undefined
    : (textIn(jsonObject(text), 'state') ?? (/^(ON|OFF)$/i.test(text) ? text.toUpperCase() : undefined));
}

function isSame(one: string, other: string): boolean {
  return one === other || (one.trim() !== '' && Number(one) === Number(other));
}

/** A button has no state: that the broker has the message is all there is to know. */
function* press(topic: string): Script {
  yield { publish: [{ topic, text: 'PRESS' }], waitMs: 0 };
  return { code: 0, message: 'pressed' };
}

/** ESPHome publishes states with retain, so what they are is known; a device that has just been found is waited for. */
function* sensors(device: EsphomeState, which: string | undefined): Script {
  const read = device.entities.filter(
    ({ component, object }) => READ.includes(component) && (which === undefined || object === which),
  );
  if (read.length === 0) return unknown(device, which ?? '', READ);
  let turn: Turn = { waitMs: ANSWER_MS };
  while (read.some(({ stateTopic = '' }) => !device.states.has(stateTopic))) {
    if ((yield turn) === 'late') break;
    turn = {};
  }
  const told = read.flatMap(({ object, stateTopic = '', unit }) => {
    const text = device.states.get(stateTopic);
    if (text === undefined) return [];
    const value = text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : text;
    return [[object, unit === undefined ? { value } : { value, unit }] as const];
  });
  if (told.length === 0) return failed(`no sensor said anything within ${ANSWER_MS / 1_000} s`);
  return { code: 0, message: `${told.length} read`, output: `${JSON.stringify(Object.fromEntries(told))}\n` };
}

/** The entity's state is JSON with `installed_version` and `latest_version`; the device restarts in between. */
function* update(device: EsphomeState, { stateTopic = '', commandTopic }: Entity): Script {
  if (commandTopic === undefined) return failed('the update entity takes no commands');
  const before = jsonObject(device.states.get(stateTopic) ?? '');
  const [from, to] = [textIn(before, 'installed_version'), textIn(before, 'latest_version')];
  if (to !== undefined && from === to) return { code: 0, message: `it runs ${to}, the newest`, output: `${to}\n` };
  let turn: Turn = {
    publish: [{ topic: commandTopic, text: 'INSTALL' }],
    progress: `installing ${to ?? 'the newest'}`,
    waitMs: DOWNLOAD_MS,
  };
  for (;;) {
    const heard: Heard = yield turn;
    turn = {};
    if (heard === 'late')
      return failed(`it did not say within ${DOWNLOAD_MS / 60_000} min that it runs ${to ?? 'another version'}`);
    const percent = percentOf(heard.topic === stateTopic ? jsonObject(heard.text)?.['update_percentage'] : undefined);
    if (percent !== undefined) turn = { progress: `${percent} %` };
    const installed = heard.topic === stateTopic ? textIn(jsonObject(heard.text), 'installed_version') : undefined;
    if (installed !== undefined && (to === undefined ? installed !== from : installed === to))
      return { code: 0, message: `it runs ${installed}`, output: `${installed}\n` };
    if (heard.topic === `${device.prefix}/status` && heard.text === 'offline') turn = { progress: 'restarting' };
  }
}

/**
 * What docs/devices-as-agents.md has written into the device: the URL goes to `<prefix>/ota/command`; on `<prefix>/ota/state`
 * it says `{"state":"started"}`, `{"state":"progress","percent":42}`, `{"state":"installed"}` or `{"state":"failed","error":5}`,
 * restarts, and is online again.
 */
function* ota({ prefix }: EsphomeState, url: string): Script {
  const state = `${prefix}/ota/state`;
  let turn: Turn = {
    publish: [{ topic: `${prefix}/ota/command`, text: url }],
    progress: 'told where it is',
    waitMs: ANSWER_MS,
  };
  let begun = false;
  let installed = false;
  for (;;) {
    const heard: Heard = yield turn;
    turn = {};
    if (heard === 'late')
      return failed(
        installed
          ? 'it did not come back with the new firmware'
          : begun
            ? 'the download did not go on'
            : `it does not listen to ${prefix}/ota/command: its configuration needs what docs/devices-as-agents.md shows`,
      );
    if (heard.topic === `${prefix}/status`) {
      if (installed && heard.text === 'online') return { code: 0, message: 'it runs the new firmware' };
      continue;
    }
    const told = heard.topic === state ? jsonObject(heard.text) : undefined;
    const word = textIn(told, 'state');
    if (word === 'failed')
      return failed(`the device says: error ${JSON.stringify(told?.['error'] ?? 'unknown')}`.slice(0, 200));
    if (word === 'installed') {
      installed = true;
      turn = { progress: 'installed, restarting', waitMs: RESTART_MS };
    } else if (word === 'started' || word === 'progress') {
      begun = true;
      turn = { progress: `${percentOf(told?.['percent']) ?? 0} %`, waitMs: DOWNLOAD_MS };
    }
  }
}

function percentOf(value: unknown): number | undefined {
  return typeof value === 'number' && value >= 0 && value <= 100 ? Math.floor(value) : undefined;
}

function unknown({ entities }: EsphomeState, which: string, components: readonly string[]): ActionResult {
  const known = entities.filter(({ component }) => components.includes(component)).map(({ object }) => object);
  const list = known.length === 0 ? 'none' : known.slice(0, 20).join(', ');
  return failed(`there is no ${components.join(' or ')} ${JSON.stringify(which.slice(0, 64))}; there are: ${list}`);
}
