import mqtt, { type MqttClient } from 'mqtt';

/** What a device does with a command: it publishes. */
export type Obey = (topic: string, text: string) => void;

/** Its retained word on whether it is there, and its last will. */
interface Testament {
  readonly topic: string;
  readonly online: string;
  readonly offline: string;
}

/** A device on a real broker, as its firmware behaves there, played by a test. */
export class ScriptedDevice {
  readonly #url: string;
  readonly #status: Testament;
  readonly #commands: string;
  /** Every command it was given: `topic payload`. */
  readonly told: string[] = [];
  obey: Obey = () => undefined;
  #client: MqttClient | undefined;

  constructor(url: string, status: Testament, commands: string) {
    this.#url = url;
    this.#status = status;
    this.#commands = commands;
  }

  /** Connects under its last will, and says that it is there. */
  async start(): Promise<void> {
    const { topic, online, offline } = this.#status;
    const client = await mqtt.connectAsync(this.#url, {
      will: { topic, payload: Buffer.from(offline), qos: 1, retain: true },
      reconnectPeriod: 0,
    });
    this.#client = client;
    client.on('message', (at, payload) => {
      if (/(^cmnd\/|\/command$)/.test(at)) this.told.push(`${at} ${payload.toString()}`);
      this.obey(at, payload.toString());
    });
    await client.subscribeAsync(this.#commands, { qos: 1 });
    await client.publishAsync(topic, online, { qos: 1, retain: true });
  }

  say(topic: string, message: object | string, retain = false): void {
    const text = typeof message === 'string' ? message : JSON.stringify(message);
    this.#client?.publish(topic, text, { qos: 1, retain });
  }

  /** Its power is cut: the broker publishes its will. */
  cut(): void {
    this.#client?.stream.destroy();
    this.#client = undefined;
  }

  async stop(): Promise<void> {
    await this.#client?.endAsync(true);
  }
}

export const TASMOTA_CONFIG = {
  ip: '192.168.1.40',
  dn: 'Plug by the door',
  fn: ['Plug', null, null],
  hn: 'plug1-4321',
  mac: 'A4CF12B0E1F2',
  md: 'Sonoff Dual R3',
  ty: 0,
  ofln: 'Offline',
  onln: 'Online',
  state: ['OFF', 'ON', 'TOGGLE', 'HOLD'],
  sw: '13.4.0',
  t: 'plug1',
  ft: '%prefix%/%topic%/',
  tp: ['cmnd', 'stat', 'tele'],
  rl: [1, 1, 0, 0, 0, 0, 0, 0],
  swc: [-1, -1],
  btn: [0, 0],
  ver: 1,
};

/** A plug with two relays and a thermometer, as Tasmota 13 is over MQTT. */
export async function tasmotaPlug(url: string, { announces = true } = {}): Promise<ScriptedDevice> {
  const device = new ScriptedDevice(
    url,
    { topic: 'tele/plug1/LWT', online: 'Online', offline: 'Offline' },
    'cmnd/plug1/+',
  );
  const power: Record<string, string> = { POWER1: 'OFF', POWER2: 'OFF' };
  device.obey = (topic, text) => {
    const name = topic.slice('cmnd/plug1/'.length).toUpperCase();
    const result = (message: object): void => device.say('stat/plug1/RESULT', message);
    if (power[name] !== undefined) {
      const was = power[name];
      power[name] = text === 'TOGGLE' ? (was === 'ON' ? 'OFF' : 'ON') : text;
      result({ [name]: power[name] });
      device.say(`stat/plug1/${name}`, power[name]);
    } else if (name === 'STATUS' && text === '8') {
      const sensors = { Time: '2026-11-28T12:00:00', DS18B20: { Id: '0316A4', Temperature: 20.4 }, TempUnit: 'C' };
      device.say('stat/plug1/STATUS8', { StatusSNS: sensors });
    } else if (name === 'STATUS') {
      device.say('stat/plug1/STATUS', { Status: { Module: 1, DeviceName: 'Plug by the door', Topic: 'plug1' } });
      device.say('stat/plug1/STATUS2', { StatusFWR: { Version: '13.4.0(tasmota)', Hardware: 'ESP8266EX' } });
      device.say('stat/plug1/STATUS5', { StatusNET: { Hostname: 'plug1-4321', Mac: 'A4:CF:12:B0:E1:F2' } });
    } else if (name === 'OTAURL') result({ OtaUrl: text });
    else if (name === 'UPGRADE') result({ Upgrade: 'Version 13.4.0 from http://files.lan/tasmota.bin.gz' });
    else if (name === 'DELAY') return;
    else result({ Command: 'Unknown' });
  };
  await device.start();
  if (announces) device.say('tasmota/discovery/A4CF12B0E1F2/config', TASMOTA_CONFIG, true);
  return device;
}

export const ESPHOME_MAC = 'd4d4da5b7c10';

/** What ESPHome announces of one entity, in Home Assistant's abbreviations. */
export function esphomeEntity(component: string, object: string, more: object = {}): object {
  const hasState = component !== 'button';
  const takesCommands = !component.endsWith('sensor');
  return {
    name: object,
    ...(hasState ? { stat_t: `greenhouse/${component}/${object}/state` } : {}),
    ...(takesCommands ? { cmd_t: `greenhouse/${component}/${object}/command` } : {}),
    avty_t: 'greenhouse/status',
    uniq_id: `ESP${component}${object}`,
    dev: {
      ids: ESPHOME_MAC,
      name: 'Greenhouse',
      sw: '2025.6.0 (Jul  1 2025, 10:00:00)',
      mdl: 'esp32dev',
      mf: 'Espressif',
    },
    ...more,
  };
}

/** A node with a pump, a thermometer and a button, as ESPHome 2025 is over MQTT, and the OTA of docs/devices-as-agents.md. */
export async function esphomeNode(url: string): Promise<ScriptedDevice> {
  const status = { topic: 'greenhouse/status', online: 'online', offline: 'offline' };
  const device = new ScriptedDevice(url, status, 'greenhouse/#');
  device.obey = (topic, text) => {
    if (topic === 'greenhouse/switch/pump/command') device.say('greenhouse/switch/pump/state', text, true);
    if (topic === 'greenhouse/ota/command') device.say('greenhouse/ota/state', { state: 'started' });
  };
  await device.start();
  const found = { name: 'greenhouse', friendly_name: 'Greenhouse', mac: ESPHOME_MAC, version: '2025.6.0' };
  device.say('esphome/discover/greenhouse', { ...found, platform: 'ESP32', board: 'esp32dev', port: 6053 }, true);
  for (const [component, object, more] of [
    ['switch', 'pump', {}],
    ['sensor', 'air', { unit_of_meas: '°C', dev_cla: 'temperature' }],
    ['button', 'restart', { pl_prs: 'PRESS' }],
  ] as const)
    device.say(`homeassistant/${component}/greenhouse/${object}/config`, esphomeEntity(component, object, more), true);
  device.say('greenhouse/sensor/air/state', '21.5', true);
  device.say('greenhouse/switch/pump/state', 'OFF', true);
  return device;
}
