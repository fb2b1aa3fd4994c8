import { resolve } from 'node:path';
import type { DeviceFacts, DeviceFirmware } from '../firmware-adapters/device.ts';
import { DeviceLink } from '../firmware-adapters/device-link.ts';
import { BusError } from '../io/bus.ts';
import { systemClock } from '../io/node/clock.ts';
import { createLog, type LogLevel } from '../io/node/log.ts';
import { connectMqttBus } from '../io/node/mqtt-bus.ts';
import { systemRandom } from '../io/node/random.ts';
import { randomWord } from '../io/random.ts';
import { Fault } from '../protocol/faults.ts';
import { faultOf, idOf, type StartAgentOptions, tlsFiles } from './start-agent.ts';
import { takeDataFolder } from './start-data-folder.ts';
import { type DeviceAgent, startDeviceAgent } from './start-device-agent.ts';
import { readNamed } from './start-file-words.ts';
import { machineWishes } from './start-machine.ts';

export interface StartDevicesOptions
  extends Pick<
    StartAgentOptions,
    'masters' | 'data' | 'name' | 'resources' | 'attributes' | 'token' | 'ca' | 'prefix' | 'metered'
  > {
  readonly firmware: string;
  /** `mqtt://broker[:port]` for all devices on it, or `…/TOPIC` for one. */
  readonly device: string;
  /** `name:password` for the broker of the devices. */
  readonly deviceToken?: string;
  /** A file, `name:secret` a line: tokens of the agents that the devices are. */
  readonly tokens?: string;
  readonly logLevel?: LogLevel;
}

export interface RunningDevices {
  /** Resolves with a fault where a person must act. */
  readonly failed: Promise<Fault>;
  stop(): Promise<void>;
}

/** What a device says first comes in several messages. */
const SETTLE_MS = 500;

/** One process that stands for devices: each that is found is an agent of its own, connected while its device is. */
export async function startDevices(options: StartDevicesOptions): Promise<RunningDevices | Fault> {
  const place = placeOf(options.device);
  const firmware = place instanceof Fault ? place : await firmwareNamed(options.firmware, place.topic);
  if (place instanceof Fault || firmware instanceof Fault) return place instanceof Fault ? place : (firmware as Fault);
  const given = machineWishes(options);
  if (given instanceof Fault) return given;
  const tls = await tlsFiles(options);
  if (tls instanceof Fault) return tls;
  const tokens = await tokensOf(options);
  if (tokens instanceof Fault) return tokens;
  if (options.name !== undefined && place.topic === undefined)
    return new Fault('BAD_USAGE', '--name is for one device', 'Name it: --device mqtt://broker/TOPIC.');
  const data = resolve(options.data);
  const lock = await takeDataFolder(data);
  if (lock instanceof Fault) return lock;
  const log = createLog({ level: options.logLevel ?? 'info' });
  const [username, password] = options.deviceToken?.split(/:(.*)/s) ?? [];
  let bus: ReturnType<typeof connectMqttBus>;
  try {
    bus = connectMqttBus({
      urls: [place.broker],
      clientId: `mesq-${randomWord(systemRandom, 12)}`,
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(tls.ca === undefined ? {} : { ca: tls.ca }),
      clock: systemClock,
      random: systemRandom,
      log,
    });
  } catch (error) {
    await lock.release();
    if (error instanceof BusError) return faultOf(error);
    throw error;
  }
  const link = new DeviceLink({ bus, firmware, clock: systemClock, log });
  let fail: (fault: Fault) => void = () => undefined;
  const failed = new Promise<Fault>((settle) => {
    fail = settle;
  });
  const agents = new Map<string, DeviceAgent | 'settling' | 'refused'>();
  const names = new Set<string>();

  const begin = async (id: string): Promise<void> => {
    const facts = link.device(id);
    if (facts === undefined || !facts.online) return void agents.delete(id);
    const name = options.name ?? freeName(facts, names);
    const token = tokens?.get(name);
    if (tokens !== undefined && token === undefined) {
      log.warn('device without a token', { device: id, name, hint: `mesq token create --role agent --name ${name}` });
      return void agents.set(id, 'refused');
    }
    names.add(name);
    const agent = await startDeviceAgent({
      ...{ id, name, data, given, log, tls, link },
      masters: options.masters,
      prefix: options.prefix ?? 'mesq',
      metered: options.metered ?? false,
      ...(token === undefined ? {} : { token }),
      onFailed: (fault) => {
        log.error(fault.message, { device: id, code: fault.code, hint: fault.hint });
        const failing = agents.get(id);
        agents.set(id, 'refused');
        if (typeof failing === 'object') void failing.stop();
        if (place.topic !== undefined) fail(fault);
      },
    });
    if (agent instanceof Fault) {
      log.error(agent.message, { device: id, code: agent.code, hint: agent.hint });
      agents.set(id, 'refused');
      if (place.topic !== undefined) fail(agent);
      return;
    }
    log.info('device found', { device: id, name });
    agents.set(id, agent);
    agent.changed(link.device(id)?.online === true && bus.connected);
  };

  bus.onDisconnected(() => {
    for (const agent of agents.values()) if (typeof agent === 'object') agent.changed(false);
  });
  bus.onConnected(() => {
    for (const [id, agent] of agents) if (typeof agent === 'object') agent.changed(link.device(id)?.online === true);
  });
  link.start((id, online) => {
    const agent = agents.get(id);
    if (typeof agent === 'object') return agent.changed(online);
    if (agent !== undefined || !online) return;
    agents.set(id, 'settling');
    systemClock.after(SETTLE_MS, () => {
      begin(id).catch((error: unknown) => {
        log.error('device not taken', { device: id, error: String(error) });
        agents.set(id, 'refused');
      });
    });
  });
  return {
    failed,
    stop: async () => {
      const running = [...agents.values()].filter((agent) => typeof agent === 'object');
      await Promise.all(running.map((agent) => agent.stop()));
      await bus.close();
      await lock.release();
    },
  };
}

/** The broker, and the topic of the one device that is meant. */
function placeOf(text: string): { readonly broker: string; readonly topic: string | undefined } | Fault {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^mqtts?:$/.test(url.protocol) || url.host === '')
    return new Fault('BAD_USAGE', `--device: ${text.slice(0, 200)} is not mqtt://broker[:port][/TOPIC]`);
  const topic = decoded(url.pathname.slice(1));
  if (topic === undefined)
    return new Fault(
      'BAD_USAGE',
      `--device: ${text.slice(0, 200)} has a % that is no code of a character`,
      'Write a percent sign as %25.',
    );
  if (/[+#\p{Cc}]/u.test(topic) || topic.length > 128)
    return new Fault('BAD_USAGE', `--device: ${topic.slice(0, 128)} is not the topic of one device`);
  return { broker: `${url.protocol}//${url.host}`, topic: topic === '' ? undefined : topic };
}

/** Undefined where a `%` begins no UTF-8 character: decodeURIComponent throws. */
function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

async function firmwareNamed(name: string, topic: string | undefined): Promise<DeviceFirmware | Fault> {
  switch (name) {
    case 'tasmota':
      return new (await import('../firmware-adapters/tasmota/tasmota.ts')).TasmotaFirmware(topic);
    case 'esphome':
      return new (await import('../firmware-adapters/esphome/esphome.ts')).EsphomeFirmware(topic);
    default:
      return new Fault('BAD_USAGE', `--firmware: there is no ${name.slice(0, 64)}`, 'Take tasmota or esphome.');
  }
}

/** By agent name; undefined where no token is given, and agents connect without (on the master's machine). */
async function tokensOf({
  token,
  tokens,
}: StartDevicesOptions): Promise<ReadonlyMap<string, string> | undefined | Fault> {
  if (token === undefined && tokens === undefined) return undefined;
  let text = token ?? '';
  if (tokens !== undefined) {
    const read = await readNamed('--tokens', tokens);
    if (read instanceof Fault) return read;
    text += `\n${read}`;
  }
  const lines = text.split('\n').map((line) => line.trim());
  const found = lines
    .filter((line) => line.includes(':'))
    .map((line) => [line.slice(0, line.indexOf(':')), line] as const);
  return new Map(found);
}

/** After its topic; two devices of one topic are told apart by the end of their MAC addresses. */
function freeName({ name, id }: DeviceFacts, taken: ReadonlySet<string>): string {
  const wanted = idOf(name);
  return taken.has(wanted) ? `${wanted.slice(0, 57)}-${id.slice(-6)}` : wanted;
}
