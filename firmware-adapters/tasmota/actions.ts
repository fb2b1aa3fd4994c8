import type { Action } from '../adapter.ts';
import {
  type ActionResult,
  asObject,
  type DeviceMessage,
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
import { command, type TasmotaTopics } from './topics.ts';

export const TASMOTA_ACTIONS: readonly Action[] = [
  { name: 'relay', about: 'relay [N] on|off|toggle: switches it, and tells what it is then' },
  { name: 'sensor', about: 'sensor: reads all sensors, as JSON' },
  { name: 'state', about: 'state: power, Wi-Fi and uptime, as JSON' },
  { name: 'ota', about: 'ota URL: installs the firmware at that URL' },
  { name: 'restart', about: 'restart: restarts it, and waits until it is back' },
  { name: 'command', about: 'command NAME [VALUE]: any command of Tasmota' },
];

const ANSWER_MS = 10_000;
const DOWNLOAD_MS = 600_000;
const RESTART_MS = 180_000;

/** What an action needs to know of its device. */
export interface TasmotaState {
  readonly topics: TasmotaTopics;
  readonly relays: number;
  readonly version: string | undefined;
}

export function tasmotaScript(device: TasmotaState, argv: readonly string[]): Script | ActionResult {
  const [name, ...words] = argv;
  const [first, second] = words;
  switch (name) {
    case 'relay':
      return relayScript(device, words);
    case 'sensor':
      return first === undefined ? sensor(device) : failed('sensor takes no words');
    case 'state':
      return first === undefined ? oneCommand(device, 'STATE', '') : failed('state takes no words');
    case 'restart':
      return first === undefined ? restart(device) : failed('restart takes no words');
    case 'ota':
      return isFirmwareUrl(first) && second === undefined
        ? ota(device, first)
        : failed('ota takes one URL, http:// or https://');
    case 'command':
      if (first === undefined || !/^[A-Za-z][A-Za-z0-9]{0,31}$/.test(first) || words.length > 2)
        return failed('command takes the name of a command of Tasmota, and its value in one word');
      return oneCommand(device, first, second ?? '');
    default:
      return noSuchAction(name, TASMOTA_ACTIONS);
  }
}

function relayScript(device: TasmotaState, words: readonly string[]): Script | ActionResult {
  const [number, wanted] = words.length === 1 ? ['1', words[0]] : words;
  const at = /^[1-9]\d?$/.test(number ?? '') ? Number(number) : 0;
  const value = wanted?.toLowerCase() ?? '';
  if (at === 0 || words.length > 2 || !['on', 'off', 'toggle'].includes(value))
    return failed('relay takes the number of a relay, from 1, and on, off or toggle');
  if (device.relays > 0 && at > device.relays) return failed(`it has ${device.relays} relays, and no ${at}`);
  return relay(device, at, value.toUpperCase());
}

/** `{"POWER":"ON"}` of a device with one relay, `{"POWER2":"ON"}` of one with more. */
function* relay(device: TasmotaState, at: number, wanted: string): Script {
  const name = `POWER${at}`;
  const answer = yield* until(asking(device, name, wanted), (message) => {
    const result = resultOf(device, message);
    return refusalIn(result) ?? textIn(result, name) ?? (at === 1 ? textIn(result, 'POWER') : undefined);
  });
  if (answer === 'late') return silent(name);
  if (typeof answer !== 'string') return answer;
  const done = wanted === 'TOGGLE' || answer === wanted;
  return { code: done ? 0 : 1, message: `relay ${at} is ${answer}`, output: `${answer}\n` };
}

/** Status 10 since 5.13; Status 8 says the same, and always has. */
function* sensor(device: TasmotaState): Script {
  const answer = yield* until(asking(device, 'STATUS', '8'), ({ topic, text }) => {
    const { stat } = device.topics;
    if (topic === `${stat}STATUS8` || topic === `${stat}STATUS10`) return asObject(jsonObject(text)?.['StatusSNS']);
    return undefined;
  });
  if (answer === 'late') return silent('STATUS 8');
  return { code: 0, message: 'read', output: `${JSON.stringify(answer)}\n` };
}

function* oneCommand(device: TasmotaState, name: string, value: string): Script {
  const answer = yield* until(asking(device, name, value), ({ topic, text }) => {
    const { stat } = device.topics;
    const isAnswer = topic === `${stat}RESULT` || topic.startsWith(`${stat}STATUS`);
    return isAnswer ? jsonObject(text) : undefined;
  });
  if (answer === 'late') return silent(name);
  return refusalIn(answer) ?? { code: 0, message: `${name} was answered`, output: `${JSON.stringify(answer)}\n` };
}

function* restart(device: TasmotaState): Script {
  const answer = yield* until(asking(device, 'Restart', '1'), (message) => resultOf(device, message));
  if (answer === 'late') return silent('Restart');
  const refused = refusalIn(answer);
  if (refused !== undefined) return refused;
  const version = yield* until({ progress: 'restarting', waitMs: RESTART_MS }, (message) => bootOf(device, message));
  return version === 'late'
    ? failed(`it was not back after ${RESTART_MS / 60_000} min`)
    : { code: 0, message: 'it is back' };
}

/**
 * OtaUrl, then Upgrade 1: it answers where from, then (stat/…/UPGRADE) that it has installed it or why not, restarts, and
 * says its version (tele/…/INFO1). An ESP32 restarts into its safe boot first, and downloads from there.
 */
function* ota(device: TasmotaState, url: string): Script {
  const told = yield* until(asking(device, 'OtaUrl', url), (message) => {
    const result = resultOf(device, message);
    return refusalIn(result) ?? textIn(result, 'OtaUrl');
  });
  if (told === 'late') return silent('OtaUrl');
  if (typeof told !== 'string') return told;
  if (told !== url) return failed(`it took another URL: ${told}`);
  let turn: Turn = {
    publish: [command(device.topics, 'Upgrade', '1')],
    progress: `from ${device.version ?? 'an unknown version'}, told where the new one is`,
    waitMs: DOWNLOAD_MS,
  };
  let installed = false;
  for (;;) {
    const heard: Heard = yield turn;
    turn = {};
    if (heard === 'late')
      return failed(installed ? 'it did not come back with the new firmware' : 'the download did not end in its time');
    const refused = refusalIn(resultOf(device, heard));
    if (refused !== undefined) return refused;
    const stage = upgradeStage(device, heard);
    if (stage?.failed === true) return failed(stage.text);
    if (stage !== undefined) {
      installed ||= stage.installed;
      turn = { progress: stage.text, waitMs: stage.installed ? RESTART_MS : DOWNLOAD_MS };
      continue;
    }
    const version = bootOf(device, heard);
    if (version === undefined) continue;
    if (/safeboot/i.test(version)) turn = { progress: 'in its safe boot, downloading', waitMs: DOWNLOAD_MS };
    else if (installed || (version !== '' && plainVersion(version) !== device.version)) {
      return { code: 0, message: `it runs ${version}`, output: `${version}\n` };
    } else return failed(`it restarted, and still runs ${version}`);
  }
}

/** `13.4.0` of `13.4.0(tasmota32)`: what an announcement says. */
export function plainVersion(text: string): string {
  return text.replace(/\(.*$/, '');
}

function upgradeStage(
  { topics }: TasmotaState,
  { topic, text }: DeviceMessage,
): { readonly text: string; readonly installed: boolean; readonly failed: boolean } | undefined {
  if (topic !== `${topics.stat}UPGRADE` && topic !== `${topics.stat}RESULT`) return undefined;
  const said = textIn(jsonObject(text), 'Upgrade');
  if (said === undefined) return undefined;
  return {
    text: said,
    installed: /^successful/i.test(said),
    failed: /^(failed|error|wrong|file|not enough)/i.test(said),
  };
}

/** The version that a start announces: INFO1, in a wrapper since 9.4; empty where it does not say. */
function bootOf({ topics }: TasmotaState, { topic, text }: DeviceMessage): string | undefined {
  if (topic !== `${topics.tele}INFO1`) return undefined;
  const info = jsonObject(text);
  return textIn(asObject(info?.['Info1']) ?? info, 'Version') ?? '';
}

function resultOf(
  { topics }: TasmotaState,
  { topic, text }: DeviceMessage,
): Readonly<Record<string, unknown>> | undefined {
  return topic === `${topics.stat}RESULT` ? jsonObject(text) : undefined;
}

function refusalIn(result: Readonly<Record<string, unknown>> | undefined): ActionResult | undefined {
  const said = textIn(result, 'Command');
  return said === 'Unknown' || said === 'Error' ? failed(`it answers: ${said.toLowerCase()} command`) : undefined;
}

function asking({ topics }: TasmotaState, name: string, value: string): Turn {
  return { publish: [command(topics, name, value)], waitMs: ANSWER_MS };
}

function silent(what: string): ActionResult {
  return failed(`no answer to ${what} within ${ANSWER_MS / 1_000} s`);
}
