import { type Attributes, isAttributeText } from '../protocol/attributes.ts';
import type { Action, Sample } from './adapter.ts';

/** A message of a device, or for one, on the broker that the devices use. */
export interface DeviceMessage {
  readonly topic: string;
  readonly text: string;
}

/** What is known of one device from what it has said. */
export interface DeviceFacts {
  /** Stays with it for ever: its MAC address, twelve hex digits in lower case. */
  readonly id: string;
  /** What people call it on that broker: its topic. */
  readonly name: string;
  readonly hostname: string;
  readonly online: boolean;
  readonly attributes: Attributes;
  readonly sample: Sample;
}

/** What an action wants done now. Whatever is absent is not wanted. */
export interface Turn {
  readonly publish?: readonly DeviceMessage[];
  /** For people: how far it is. */
  readonly progress?: string;
  /** `late` comes after this long; without it the last deadline stands. */
  readonly waitMs?: number;
}

/** How an action ended: `code` as a program exits, 127 for an action that there is not. */
export interface ActionResult {
  readonly code: number;
  readonly message: string;
  /** What the device answered: the task's standard output. */
  readonly output?: string;
}

/** What an action hears: each message of its device, and `late` once its deadline has passed. */
export type Heard = DeviceMessage | 'late';

/** One action under way: without a clock or I/O. It says what it wants, and is told what happened. */
export type Script = Generator<Turn, ActionResult, Heard>;

/** What follows from a message. */
export interface Learnt {
  /** Devices about which something is known now that was not before, by id: also that one is there no more, as another board has its topic. */
  readonly changed: readonly string[];
  /** Filters to subscribe to as well. */
  readonly subscribe: readonly string[];
  /** Questions. */
  readonly publish: readonly DeviceMessage[];
}

/** The ways of one firmware on MQTT: a stateful core, changed only by {@link hear}. */
export interface DeviceFirmware {
  readonly name: string;
  readonly actions: readonly Action[];
  /** What to subscribe to at first. */
  readonly filters: readonly string[];
  /** Takes any message; what cannot be read changes nothing. */
  hear(message: DeviceMessage): Learnt;
  /** Undefined until its MAC address is known, and once another board has its topic. */
  device(id: string): DeviceFacts | undefined;
  /** To which device a message belongs, as far as is known. */
  ownerOf(topic: string): string | undefined;
  /** The action that the words ask for, on that device; or how it ended at once. */
  script(id: string, argv: readonly string[]): Script | ActionResult;
}

export const NOTHING_LEARNT: Learnt = { changed: [], subscribe: [], publish: [] };

/** Bounds of what is taken from devices. What is over a bound is left out; `devices` counts all that were ever heard of. */
export const DEVICE_LIMITS = { devices: 500, entities: 200, textLength: 16_384, outputLength: 65_536 } as const;

/** The object that a payload is, or undefined. Never throws. */
export function jsonObject(text: string): Readonly<Record<string, unknown>> | undefined {
  if (text.length > DEVICE_LIMITS.textLength || !text.startsWith('{')) return undefined;
  try {
    return asObject(JSON.parse(text));
  } catch {
    return undefined;
  }
}

export function asObject(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : undefined;
}

/** A text of an object, not empty and not long; undefined where it is anything else. */
export function textIn(object: Readonly<Record<string, unknown>> | undefined, key: string): string | undefined {
  const value = object !== undefined && Object.hasOwn(object, key) ? object[key] : undefined;
  return typeof value === 'string' && value !== '' && value.length <= 256 ? value : undefined;
}

/** `AA:BB:CC:DD:EE:FF` or `aabbccddeeff` as an id; undefined where it is no MAC address. */
export function macOf(text: string | undefined): string | undefined {
  const digits = text?.replaceAll(':', '').toLowerCase() ?? '';
  return /^[0-9a-f]{12}$/.test(digits) ? digits : undefined;
}

/** `runs:actions` and whatever is known; what an attribute cannot say is left out. */
export function deviceAttributes(known: Readonly<Record<string, string | number | undefined>>): Attributes {
  const attributes: Attributes[number][] = [{ name: 'runs', text: 'actions' }];
  for (const [name, value] of Object.entries(known)) {
    if (typeof value === 'number') attributes.push({ name, scalar: value * 1_000 });
    else if (value !== undefined && isAttributeText(value)) attributes.push({ name, text: value });
  }
  return attributes;
}

/** Waits for what `read` makes something of; `late` where that does not come in time. */
export function* until<Found>(
  first: Turn,
  read: (message: DeviceMessage) => Found | undefined,
): Generator<Turn, Found | 'late', Heard> {
  let turn = first;
  for (;;) {
    const heard: Heard = yield turn;
    turn = {};
    if (heard === 'late') return heard;
    const found = read(heard);
    if (found !== undefined) return found;
  }
}

export function failed(message: string): ActionResult {
  return { code: 1, message };
}

export function noSuchAction(name: string | undefined, actions: readonly Action[]): ActionResult {
  const known = actions.map((action) => action.name).join(', ');
  return { code: 127, message: `there is no action ${JSON.stringify(name ?? '')}; there are: ${known}` };
}

/** A URL that a device may be told: http or https, without spaces or control characters. */
export function isFirmwareUrl(text: string | undefined): text is string {
  return text !== undefined && text.length <= 1_000 && /^https?:\/\/[^\s;"\p{Cc}]+$/u.test(text);
}
