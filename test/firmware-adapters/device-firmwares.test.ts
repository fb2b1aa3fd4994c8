import test from 'ava';
import type { DeviceMessage } from '../../firmware-adapters/device.ts';
import { EsphomeFirmware } from '../../firmware-adapters/esphome/esphome.ts';
import { TasmotaFirmware } from '../../firmware-adapters/tasmota/tasmota.ts';
import { DEVICE_FIRMWARE_CHECKS, type FirmwareHarness } from '../conformance/device-firmware.ts';
import { ESPHOME_MAC, esphomeEntity, TASMOTA_CONFIG } from './scripted-device.ts';

function say(topic: string, message: unknown): DeviceMessage {
  return { topic, text: typeof message === 'string' ? message : JSON.stringify(message) };
}

const macOf = (number: number): string => number.toString(16).padStart(12, '0');

function tasmotaWords(mac: string, topic: string): DeviceMessage[] {
  return [
    say(`tasmota/discovery/${mac.toUpperCase()}/config`, { ...TASMOTA_CONFIG, mac: mac.toUpperCase(), t: topic }),
    say(`tele/${topic}/LWT`, 'Online'),
  ];
}

function esphomeWords(mac: string, name: string): DeviceMessage[] {
  const about = { name, friendly_name: name, mac, version: '2025.6.0', platform: 'ESP32', board: 'esp32dev' };
  const entity = JSON.stringify(esphomeEntity('switch', 'pump')).replaceAll('greenhouse', name);
  return [
    say(`esphome/discover/${name}`, about),
    say(`homeassistant/switch/${name}/pump/config`, entity.replaceAll(ESPHOME_MAC, mac)),
    say(`${name}/status`, 'online'),
    say(`${name}/switch/pump/state`, 'OFF'),
  ];
}

const FIRMWARES: Readonly<Record<string, FirmwareHarness>> = {
  tasmota: {
    make: () => new TasmotaFirmware(),
    words: tasmotaWords('a4cf12b0e1f2', 'plug1'),
    id: 'a4cf12b0e1f2',
    will: say('tele/plug1/LWT', 'Offline'),
    action: { argv: ['relay', '1', 'on'], answers: [say('stat/plug1/RESULT', { POWER1: 'ON' })] },
    commands: /^cmnd\/plug1\/[^/]+$/,
    another: (number) => tasmotaWords(macOf(number), `other${number}`),
    replaced: (mac) => tasmotaWords(mac, 'plug1'),
  },
  esphome: {
    make: () => new EsphomeFirmware(),
    words: esphomeWords(ESPHOME_MAC, 'greenhouse'),
    id: ESPHOME_MAC,
    will: say('greenhouse/status', 'offline'),
    action: { argv: ['relay', 'pump', 'on'], answers: [say('greenhouse/switch/pump/state', 'ON')] },
    commands: /^greenhouse\//,
    another: (number) => esphomeWords(macOf(number), `other${number}`),
    replaced: (mac) => esphomeWords(mac, 'greenhouse'),
  },
};

for (const [name, harness] of Object.entries(FIRMWARES))
  for (const [title, act] of Object.entries(DEVICE_FIRMWARE_CHECKS)) test(`${name}: ${title}`, act, harness);
