import {
  type ActionResult,
  asObject,
  DEVICE_LIMITS,
  type DeviceFacts,
  type DeviceFirmware,
  type DeviceMessage,
  deviceAttributes,
  failed,
  jsonObject,
  type Learnt,
  macOf,
  NOTHING_LEARNT,
  type Script,
  textIn,
} from '../device.ts';
import { plainVersion, TASMOTA_ACTIONS, tasmotaScript } from './actions.ts';
import { command, DEFAULT_FULL_TOPIC, type TasmotaTopics, topicsOf } from './topics.ts';

/** One device, by its topic. */
interface Known {
  readonly topic: string;
  readonly topics: TasmotaTopics;
  readonly onlineWord: string;
  readonly mac?: string;
  readonly deviceName?: string;
  readonly hostname?: string;
  readonly model?: string;
  readonly version?: string;
  readonly relays: number;
  readonly online: boolean;
  readonly temperatureC?: number;
}

/**
 * Tasmota's devices on a broker (tasmota.github.io/docs/MQTT): found by what they announce (SetOption19 0, the default),
 * or by the topic that is given; known once their MAC address is, which is asked for where nothing announced it.
 */
export class TasmotaFirmware implements DeviceFirmware {
  readonly name = 'tasmota';
  readonly actions = TASMOTA_ACTIONS;
  readonly filters: readonly string[];
  readonly #only: string | undefined;
  readonly #known = new Map<string, Known>();
  /** MAC address → topic; undefined where another board has that topic now. Never more than devices may be. */
  readonly #topics = new Map<string, string | undefined>();
  /** What each has announced, by MAC address: two may have announced one topic, and which of them is there is heard later. */
  readonly #announcements = new Map<string, Facts>();

  /** `topic`: that device alone. */
  constructor(topic?: string) {
    this.#only = topic;
    const found = topicsOf(DEFAULT_FULL_TOPIC, topic ?? '');
    const own = topic === undefined || found === undefined ? ['tele/+/LWT'] : [`${found.tele}+`, `${found.stat}+`];
    this.filters = ['tasmota/discovery/+/config', ...own];
  }

  hear(message: DeviceMessage): Learnt {
    if (message.text.length > DEVICE_LIMITS.textLength) return NOTHING_LEARNT;
    if (message.topic.startsWith('tasmota/discovery/')) return this.#announced(message);
    const topic = this.#topicAt(message.topic);
    const known = topic === undefined ? this.#met(message) : this.#known.get(topic);
    if (known === undefined) return NOTHING_LEARNT;
    const { tele, stat } = known.topics;
    if (message.topic === `${tele}LWT`) return this.#testament(known, message.text);
    if (message.topic.startsWith(tele)) {
      const last = message.topic.slice(tele.length);
      const learnt = this.#learn(known, unlessKnown(known, teleFacts(last, message.text)));
      // It says this every five minutes: who did not answer is asked again.
      const asks = last === 'STATE' && known.mac === undefined;
      return asks ? { ...learnt, publish: [command(known.topics, 'STATUS', '0')] } : learnt;
    }
    return this.#learn(known, unlessKnown(known, statFacts(message.topic.slice(stat.length), message.text)));
  }

  device(id: string): DeviceFacts | undefined {
    const known = this.#known.get(this.#topics.get(id) ?? '');
    if (known === undefined) return undefined;
    const { model, version, relays, temperatureC } = known;
    return {
      id,
      name: known.topic,
      hostname: known.hostname ?? known.topic,
      online: known.online,
      attributes: deviceAttributes({
        board: 'tasmota',
        model,
        version,
        device: known.deviceName,
        ...(relays > 0 ? { relays } : {}),
      }),
      sample: temperatureC === undefined ? {} : { temperatureC },
    };
  }

  ownerOf(topic: string): string | undefined {
    return this.#known.get(this.#topicAt(topic) ?? '')?.mac;
  }

  script(id: string, argv: readonly string[]): Script | ActionResult {
    const known = this.#known.get(this.#topics.get(id) ?? '');
    return known === undefined
      ? failed('the device is not known')
      : tasmotaScript({ topics: known.topics, relays: known.relays, version: known.version }, argv);
  }

  #topicAt(address: string): string | undefined {
    for (const { topic, topics } of this.#known.values())
      if (address.startsWith(topics.tele) || address.startsWith(topics.stat)) return topic;
    return undefined;
  }

  /** A device that announces nothing (SetOption19 1) is met by its last will, at the default topics. */
  #met({ topic: address }: DeviceMessage): Known | undefined {
    const topic = /^(?:tele|stat)\/([^/]+)\/[^/]+$/.exec(address)?.[1];
    const topics = topic === undefined ? undefined : topicsOf(DEFAULT_FULL_TOPIC, topic);
    if (topic === undefined || topics === undefined || this.#isForeign(topic)) return undefined;
    const known: Known = { topic, topics, onlineWord: 'Online', relays: 0, online: false };
    this.#known.set(topic, known);
    return known;
  }

  #isForeign(topic: string): boolean {
    return (this.#only !== undefined && topic !== this.#only) || this.#known.size >= DEVICE_LIMITS.devices;
  }

  /** `tasmota/discovery/<MAC>/config`, retained: short names for what there is (tasmota/tasmota_xdrv_driver/xdrv_12_discovery.ino). */
  #announced({ topic: address, text }: DeviceMessage): Learnt {
    const config = jsonObject(text);
    const mac = macOf(textIn(config, 'mac'));
    const topic = textIn(config, 't');
    if (config === undefined || mac === undefined || topic === undefined || !address.endsWith('/config'))
      return NOTHING_LEARNT;
    const before = this.#known.get(topic);
    const hostname = textIn(config, 'hn');
    const prefixes = Array.isArray(config['tp']) ? config['tp'].filter((one) => typeof one === 'string') : undefined;
    const topics = topicsOf(textIn(config, 'ft') ?? DEFAULT_FULL_TOPIC, topic, prefixes, hostname);
    if (topics === undefined || (before === undefined && this.#isForeign(topic))) return NOTHING_LEARNT;
    if (!this.#hasRoom(mac)) return NOTHING_LEARNT;
    const relays = Array.isArray(config['rl']) ? config['rl'].filter((one) => typeof one === 'number' && one > 0) : [];
    const place = { topics, onlineWord: textIn(config, 'onln') ?? 'Online' };
    const known: Known = { ...(before ?? { topic, online: false, relays: 0 }), ...place };
    this.#known.set(topic, known);
    const facts = {
      hostname,
      deviceName: textIn(config, 'dn'),
      model: textIn(config, 'md'),
      version: textIn(config, 'sw'),
      relays: relays.length,
    };
    this.#announcements.set(mac, { ...facts, ...place });
    const learnt = this.#learn(known, { mac, ...facts });
    // An announcement is kept by the broker after its board is gone: the one that is there is asked.
    const isDoubtful = before?.mac !== undefined && before.mac !== mac;
    return {
      ...learnt,
      subscribe: [`${topics.tele}+`, `${topics.stat}+`],
      publish: isDoubtful ? [command(topics, 'STATUS', '0')] : [],
    };
  }

  #testament(known: Known, text: string): Learnt {
    const online = text === known.onlineWord;
    const learnt = this.#learn(known, { online });
    const { topics, mac } = known;
    return {
      ...learnt,
      subscribe: [`${topics.tele}+`, `${topics.stat}+`],
      publish: online && mac === undefined ? [command(topics, 'STATUS', '0')] : [],
    };
  }

  #hasRoom(mac: string): boolean {
    return this.#topics.has(mac) || this.#topics.size < DEVICE_LIMITS.devices;
  }

  #learn(known: Known, facts: Facts): Learnt {
    const { mac } = facts;
    if (mac !== undefined && !this.#hasRoom(mac)) return NOTHING_LEARNT;
    const told = Object.entries(facts).filter(([, value]) => value !== undefined);
    const former = mac === undefined || mac === known.mac ? undefined : known.mac;
    const now: Known = { ...(former === undefined ? known : this.#another(known, mac)), ...Object.fromEntries(told) };
    this.#known.set(known.topic, now);
    if (now.mac === undefined) return NOTHING_LEARNT;
    // A topic that moves to another board is another device; a board that moves to another topic stays one.
    if (former !== undefined) this.#topics.set(former, undefined);
    const old = this.#topics.get(now.mac);
    if (old !== undefined && old !== now.topic) this.#known.delete(old);
    this.#topics.set(now.mac, now.topic);
    if (former !== undefined) return { ...NOTHING_LEARNT, changed: [former, now.mac] };
    const changed = told.some(([name, value]) => known[name as keyof Known] !== value);
    return changed ? { ...NOTHING_LEARNT, changed: [now.mac] } : NOTHING_LEARNT;
  }

  /** Of the board that has the topic now: what the former said is not true of it. */
  #another({ topic, topics, onlineWord, online }: Known, mac: string | undefined): Known {
    const announced = Object.entries(this.#announcements.get(mac ?? '') ?? {}).filter(
      ([, value]) => value !== undefined,
    );
    return { topic, topics, onlineWord, online, relays: 0, ...Object.fromEntries(announced) };
  }
}

type Facts = { readonly [Name in keyof Known]?: Known[Name] | undefined };

/** INFO1, INFO2 and INFO3 have a wrapper of their name since 9.4; STATE and SENSOR have none. */
function teleFacts(last: string, text: string): Facts {
  const object = jsonObject(text);
  if (last === 'INFO1') {
    const info = asObject(object?.['Info1']) ?? object;
    return { version: versionIn(info), model: textIn(info, 'Module') };
  }
  if (last === 'INFO2') return { hostname: textIn(asObject(object?.['Info2']) ?? object, 'Hostname') };
  if (last === 'SENSOR') {
    const esp = asObject(object?.['ESP32'])?.['Temperature'];
    return typeof esp === 'number' && Number.isFinite(esp) ? { temperatureC: esp } : {};
  }
  if (last === 'STATE') {
    const powers = Object.keys(object ?? {}).filter((key) => /^POWER\d*$/.test(key));
    return powers.length > 0 ? { relays: powers.length } : {};
  }
  return {};
}

/** What `Status 0` is answered with. */
function statFacts(last: string, text: string): Facts {
  const object = jsonObject(text);
  if (last === 'STATUS') return { deviceName: textIn(asObject(object?.['Status']), 'DeviceName') };
  if (last === 'STATUS2') {
    const firmware = asObject(object?.['StatusFWR']);
    return { version: versionIn(firmware), model: textIn(firmware, 'Hardware') };
  }
  if (last === 'STATUS5') {
    const network = asObject(object?.['StatusNET']);
    return { hostname: textIn(network, 'Hostname'), mac: macOf(textIn(network, 'Mac')) };
  }
  return {};
}

/** The model has several names; the one that was heard first, or was announced, stays. */
function unlessKnown({ model }: Known, facts: Facts): Facts {
  return model === undefined ? facts : { ...facts, model: undefined };
}

function versionIn(object: Readonly<Record<string, unknown>> | undefined): string | undefined {
  const version = textIn(object, 'Version');
  return version === undefined ? undefined : plainVersion(version);
}
