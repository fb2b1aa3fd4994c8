import test from 'ava';
import fc from 'fast-check';
import {
  type ActionResult,
  DEVICE_LIMITS,
  type DeviceFirmware,
  type DeviceMessage,
  type Heard,
  jsonObject,
  type Script,
  type Turn,
} from '../../firmware-adapters/device.ts';
import { DeviceLink } from '../../firmware-adapters/device-link.ts';
import { EsphomeFirmware } from '../../firmware-adapters/esphome/esphome.ts';
import { TasmotaFirmware } from '../../firmware-adapters/tasmota/tasmota.ts';
import { topicsOf } from '../../firmware-adapters/tasmota/topics.ts';
import type { BusMessage, QoS } from '../../io/bus.ts';
import { AttributesSchema, formatAttributes } from '../../protocol/attributes.ts';
import { check } from '../../protocol/envelope.ts';
import { Fault } from '../../protocol/faults.ts';
import { VirtualClock } from '../sim/clock.ts';
import { ESPHOME_MAC, esphomeEntity, TASMOTA_CONFIG } from './scripted-device.ts';

const PLUG = 'a4cf12b0e1f2';

function say(topic: string, message: unknown): DeviceMessage {
  return { topic, text: typeof message === 'string' ? message : JSON.stringify(message) };
}

function tasmota(...messages: readonly DeviceMessage[]): TasmotaFirmware {
  const firmware = new TasmotaFirmware();
  firmware.hear(say('tasmota/discovery/A4CF12B0E1F2/config', TASMOTA_CONFIG));
  firmware.hear(say('tele/plug1/LWT', 'Online'));
  for (const message of messages) firmware.hear(message);
  return firmware;
}

function esphome(...entities: readonly (readonly [component: string, object: string])[]): EsphomeFirmware {
  const firmware = new EsphomeFirmware();
  for (const [component, object] of entities)
    firmware.hear(say(`homeassistant/${component}/greenhouse/${object}/config`, esphomeEntity(component, object)));
  firmware.hear(say('greenhouse/status', 'online'));
  return firmware;
}

/** What an action said, turn by turn, and its end. */
function play(firmware: DeviceFirmware, id: string, argv: readonly string[], heard: readonly Heard[]) {
  const script = firmware.script(id, argv);
  if (!('next' in script)) return { turns: [], result: script };
  const turns: Turn[] = [];
  let step: IteratorResult<Turn, ActionResult> = script.next();
  for (const one of heard) {
    if (step.done === true) break;
    turns.push(step.value);
    if (one !== 'late') firmware.hear(one);
    step = (script as Script).next(one);
  }
  return { turns, result: step.done === true ? step.value : undefined };
}

test('Tasmota: an announcement says who it is; a last will, whether it is there', (t) => {
  const firmware = tasmota();
  const facts = firmware.device(PLUG);
  t.like(facts, { name: 'plug1', hostname: 'plug1-4321', online: true });
  t.is(
    formatAttributes(facts?.attributes ?? []),
    'runs:actions;board:tasmota;model:Sonoff Dual R3;version:13.4.0;device:Plug by the door;relays:2',
  );
  firmware.hear(say('stat/plug1/STATUS2', { StatusFWR: { Version: '13.4.0(tasmota)', Hardware: 'ESP8266EX' } }));
  t.deepEqual(firmware.device(PLUG)?.attributes, facts?.attributes, 'what was announced stays');
  t.deepEqual(firmware.hear(say('tele/plug1/LWT', 'Offline')).changed, [PLUG]);
  t.false(firmware.device(PLUG)?.online);
  t.is(firmware.ownerOf('stat/plug1/RESULT'), PLUG);
  t.is(firmware.ownerOf('stat/plug2/RESULT'), undefined);
});

test('Tasmota: one that announces nothing is asked, and known once its MAC address is', (t) => {
  const firmware = new TasmotaFirmware('attic');
  t.deepEqual(firmware.hear(say('tele/attic/LWT', 'Online')).publish, [{ topic: 'cmnd/attic/STATUS', text: '0' }]);
  t.deepEqual(firmware.hear(say('tele/other/LWT', 'Online')).publish, [], 'another device is not meant');
  firmware.hear(say('tele/attic/INFO1', { Module: 'Generic', Version: '8.5.1(tasmota)' }));
  t.is(firmware.hear(say('tele/attic/STATE', { POWER: 'OFF' })).publish.length, 1, 'who did not answer is asked again');
  const { changed } = firmware.hear(
    say('stat/attic/STATUS5', { StatusNET: { Hostname: 'h', Mac: 'AA:BB:CC:00:11:22' } }),
  );
  t.deepEqual(changed, ['aabbcc001122']);
  t.is(
    formatAttributes(firmware.device('aabbcc001122')?.attributes ?? []),
    'runs:actions;board:tasmota;model:Generic;version:8.5.1;relays:1',
  );
});

test('Tasmota: of two boards that announced one topic, the one that answers is there, and is what it announced', (t) => {
  const firmware = tasmota();
  const former = { ...TASMOTA_CONFIG, mac: '0000AA000001', md: 'Broken Plug', sw: '9.1.0', rl: [1] };
  const { publish, changed } = firmware.hear(say('tasmota/discovery/0000AA000001/config', former));
  t.deepEqual(publish, [{ topic: 'cmnd/plug1/STATUS', text: '0' }], 'the broker may have kept it: asked');
  t.deepEqual(changed, [PLUG, '0000aa000001']);
  firmware.hear(say('stat/plug1/STATUS5', { StatusNET: { Hostname: 'plug1-4321', Mac: 'A4:CF:12:B0:E1:F2' } }));
  t.is(firmware.device('0000aa000001'), undefined);
  t.like(firmware.device(PLUG), { online: true });
  t.is(
    formatAttributes(firmware.device(PLUG)?.attributes ?? []),
    'runs:actions;board:tasmota;model:Sonoff Dual R3;version:13.4.0;device:Plug by the door;relays:2',
  );
});

test('a question that comes up before the connection stands is asked once it does', (t) => {
  const sent: string[] = [];
  let arrive: (message: BusMessage) => void = () => undefined;
  let stands: () => void = () => undefined;
  const bus = {
    connected: false,
    publish: (topic: string) => Promise.resolve(void sent.push(topic)),
    subscribe: (_filter: string, _qos: QoS, handler: (message: BusMessage) => void) => {
      arrive = handler;
      return Promise.resolve(() => undefined);
    },
    onConnected: (listener: () => void) => {
      stands = listener;
    },
    onDisconnected: () => undefined,
    close: () => Promise.resolve(),
  };
  const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
  new DeviceLink({ bus, firmware: new TasmotaFirmware(), clock: new VirtualClock(), log }).start(() => undefined);
  arrive({ topic: 'tele/attic/LWT', payload: new TextEncoder().encode('Online'), retained: true });
  t.deepEqual(sent, []);
  bus.connected = true;
  stands();
  t.deepEqual(sent, ['cmnd/attic/STATUS']);
});

test('Tasmota: topics are what FullTopic says', (t) => {
  t.is(topicsOf('%prefix%/%topic%/', 'a')?.cmnd, 'cmnd/a/');
  t.is(topicsOf('home/%topic%/%prefix%', 'a', ['c', 's', 't'])?.tele, 'home/a/t/');
  for (const bad of ['%topic%/', '%prefix%/+/', '%prefix%/#', '%prefix%/%id%/', ''])
    t.is(topicsOf(bad, 'a'), undefined, bad);
  const moved = { ...TASMOTA_CONFIG, ft: 'home/%topic%/%prefix%/' };
  const firmware = new TasmotaFirmware();
  t.deepEqual(firmware.hear(say('tasmota/discovery/A4CF12B0E1F2/config', moved)).subscribe, [
    'home/plug1/tele/+',
    'home/plug1/stat/+',
  ]);
  t.deepEqual(play(firmware, PLUG, ['relay', 'on'], ['late']).turns[0]?.publish, [
    { topic: 'home/plug1/cmnd/POWER1', text: 'ON' },
  ]);
});

test('Tasmota: a relay is switched, and its answer is the end', (t) => {
  const answer = (message: object) => say('stat/plug1/RESULT', message);
  const on = play(tasmota(), PLUG, ['relay', '2', 'ON'], [answer({ POWER1: 'ON' }), answer({ POWER2: 'ON' })]);
  t.deepEqual(on.turns[0]?.publish, [{ topic: 'cmnd/plug1/POWER2', text: 'ON' }]);
  t.deepEqual(on.result, { code: 0, message: 'relay 2 is ON', output: 'ON\n' });
  t.like(play(tasmota(), PLUG, ['relay', 'toggle'], [answer({ POWER: 'OFF' })]).result, { code: 0, output: 'OFF\n' });
  t.is(play(tasmota(), PLUG, ['relay', 'on'], [answer({ POWER1: 'OFF' })]).result?.code, 1, 'it did not obey');
  t.regex(play(tasmota(), PLUG, ['relay', 'on'], ['late']).result?.message ?? '', /no answer to POWER1 within 10 s/);
  t.regex(play(tasmota(), PLUG, ['relay', 'on'], [answer({ Command: 'Unknown' })]).result?.message ?? '', /unknown/);
  for (const wrong of [
    ['relay'],
    ['relay', '0', 'on'],
    ['relay', '3', 'on'],
    ['relay', '1', 'up'],
    ['relay', '1', 'on', 'x'],
  ])
    t.is(play(tasmota(), PLUG, wrong, []).result?.code, 1, wrong.join(' '));
});

test('Tasmota: an update that fails says why; one through the safe boot is followed to its end', (t) => {
  const url = 'http://files.lan/tasmota32.bin';
  const told = say('stat/plug1/RESULT', { OtaUrl: url });
  const begun = say('stat/plug1/RESULT', { Upgrade: `Version 13.4.0 from ${url}` });
  const boots = (version: string) => say('tele/plug1/INFO1', { Info1: { Module: 'x', Version: version } });
  const failing = play(
    tasmota(),
    PLUG,
    ['ota', url],
    [told, begun, say('stat/plug1/UPGRADE', { Upgrade: 'Failed Wrong HTTP code' })],
  );
  t.deepEqual(failing.result, { code: 1, message: 'Failed Wrong HTTP code' });
  const safe = [
    told,
    begun,
    boots('13.4.0(safeboot)'),
    say('stat/plug1/UPGRADE', { Upgrade: 'Successful. Restarting' }),
  ];
  const { turns, result } = play(tasmota(), PLUG, ['ota', url], [...safe, boots('13.5.0(tasmota32)')]);
  t.deepEqual(
    turns.map(({ progress }) => progress),
    [
      undefined,
      'from 13.4.0, told where the new one is',
      `Version 13.4.0 from ${url}`,
      'in its safe boot, downloading',
      'Successful. Restarting',
    ],
  );
  t.like(result, { code: 0, message: 'it runs 13.5.0(tasmota32)' });
  t.like(play(tasmota(), PLUG, ['ota', url], [told, begun, 'late']).result, { code: 1 });
  const same = play(tasmota(), PLUG, ['ota', url], [told, begun, boots('13.4.0(tasmota32)')]);
  t.deepEqual(same.result, { code: 1, message: 'it restarted, and still runs 13.4.0(tasmota32)' });
  t.like(play(tasmota(), PLUG, ['ota', url], [say('stat/plug1/RESULT', { OtaUrl: 'http://other/' })]).result, {
    code: 1,
  });
  // A Backlog in a URL would be a command of its own.
  for (const bad of ['ftp://x/y', 'http://x/y;Reset', 'http://x y', '', 'http://x/\n'])
    t.is(play(tasmota(), PLUG, ['ota', bad], []).result?.code, 1, bad);
});

test('ESPHome: a light is told in JSON, a number is compared as one, sensors are read from what is retained', (t) => {
  const firmware = esphome(['light', 'lamp'], ['number', 'speed'], ['sensor', 'air'], ['text_sensor', 'word']);
  const lamp = play(
    firmware,
    ESPHOME_MAC,
    ['relay', 'lamp', 'toggle'],
    [say('greenhouse/light/lamp/state', { state: 'ON', brightness: 200 })],
  );
  t.deepEqual(lamp.turns[0]?.publish, [{ topic: 'greenhouse/light/lamp/command', text: '{"state":"ON"}' }]);
  t.like(lamp.result, { code: 0, output: 'ON\n' });
  const off = play(firmware, ESPHOME_MAC, ['relay', '1', 'toggle'], ['late']);
  t.is(off.turns[0]?.publish?.[0]?.text, '{"state":"OFF"}', 'it was on');
  const speed = play(
    firmware,
    ESPHOME_MAC,
    ['set', 'speed', '42'],
    [say('greenhouse/number/speed/state', '41'), say('greenhouse/number/speed/state', '42.0')],
  );
  t.like(speed.result, { code: 0, output: '42.0\n' });
  const read = play(
    firmware,
    ESPHOME_MAC,
    ['sensor'],
    [say('greenhouse/sensor/air/state', '21.5'), say('greenhouse/text_sensor/word/state', 'dry')],
  );
  t.deepEqual(JSON.parse(read.result?.output ?? ''), { air: { value: 21.5 }, word: { value: 'dry' } });
  t.like(play(firmware, ESPHOME_MAC, ['relay', 'none', 'on'], []).result, { code: 1 });
  t.is(play(firmware, ESPHOME_MAC, ['sh'], []).result?.code, 127);
});

test('ESPHome: a state that comes before its entity is announced is not lost', (t) => {
  const firmware = esphome(['switch', 'pump']);
  firmware.hear(say('greenhouse/sensor/air/state', '21.5'));
  firmware.hear(say('homeassistant/sensor/greenhouse/air/config', esphomeEntity('sensor', 'air')));
  t.like(play(firmware, ESPHOME_MAC, ['sensor', 'air'], ['late']), { turns: [], result: { code: 0 } });
});

test('ESPHome: an update entity is installed until it says so', (t) => {
  const firmware = esphome(['update', 'firmware']);
  const state = (installed: string, more: object = {}) =>
    say('greenhouse/update/firmware/state', { installed_version: installed, latest_version: '2', ...more });
  firmware.hear(state('1'));
  const { turns, result } = play(
    firmware,
    ESPHOME_MAC,
    ['update'],
    [
      state('1', { update_percentage: 30 }),
      say('greenhouse/status', 'offline'),
      say('greenhouse/status', 'online'),
      state('2'),
    ],
  );
  t.deepEqual(turns[0]?.publish, [{ topic: 'greenhouse/update/firmware/command', text: 'INSTALL' }]);
  t.deepEqual(turns.map(({ progress }) => progress).filter(Boolean), ['installing 2', '30 %', 'restarting']);
  t.like(result, { code: 0, output: '2\n' });
});

test('ESPHome: a device without the page’s OTA says so; an error of one is the end; entities of others are not its own', (t) => {
  const firmware = esphome(['switch', 'pump']);
  const url = 'https://files.lan/x.bin';
  t.regex(
    play(firmware, ESPHOME_MAC, ['ota', url], ['late']).result?.message ?? '',
    /does not listen to greenhouse\/ota\/command/,
  );
  const state = (message: object) => say('greenhouse/ota/state', message);
  const failing = play(
    firmware,
    ESPHOME_MAC,
    ['ota', url],
    [state({ state: 'started' }), state({ state: 'failed', error: 5 })],
  );
  t.deepEqual(failing.result, { code: 1, message: 'the device says: error 5' });
  const foreign = { ...esphomeEntity('switch', 'x'), cmd_t: 'zigbee2mqtt/lamp/set', stat_t: 'zigbee2mqtt/lamp' };
  const other = new EsphomeFirmware();
  t.deepEqual(other.hear(say('homeassistant/switch/greenhouse/x/config', foreign)).changed, []);
  const only = new EsphomeFirmware('attic');
  t.deepEqual(
    only.hear(say('homeassistant/switch/greenhouse/pump/config', esphomeEntity('switch', 'pump'))).changed,
    [],
  );
});

const topic = fc.constantFrom(
  ...[
    'tasmota/discovery/A4CF12B0E1F2/config',
    'tele/plug1/LWT',
    'tele/plug1/STATE',
    'tele/plug1/SENSOR',
    'tele/plug1/INFO1',
  ],
  ...['tele/plug1/INFO2', 'stat/plug1/RESULT', 'stat/plug1/STATUS', 'stat/plug1/STATUS2', 'stat/plug1/STATUS5'],
  ...[
    'stat/plug1/STATUS8',
    'stat/plug1/UPGRADE',
    'stat/other/STATUS5',
    'esphome/discover/greenhouse',
    'greenhouse/status',
  ],
  ...['homeassistant/switch/greenhouse/pump/config', 'homeassistant/light/greenhouse/lamp/config'],
  ...['greenhouse/switch/pump/state', 'greenhouse/light/lamp/state', 'greenhouse/ota/state', 'x', ''],
);
const word = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.constantFrom(
    'Online',
    'online',
    'ON',
    'A4CF12B0E1F2',
    'plug1',
    '%prefix%/%topic%/',
    'greenhouse/status',
    'Unknown',
  ),
);
const key = fc.constantFrom(
  ...['mac', 't', 'ft', 'tp', 'rl', 'dn', 'sw', 'onln', 'Info1', 'Version', 'StatusNET', 'Mac', 'StatusSNS', 'POWER1'],
  ...[
    'OtaUrl',
    'Upgrade',
    'Command',
    'dev',
    'ids',
    'avty_t',
    'stat_t',
    'cmd_t',
    'state',
    'percent',
    '__proto__',
    'toString',
  ],
);
const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { depthSize: 'small' },
    word,
    fc.double(),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('any'), { maxLength: 4 }),
    fc.dictionary(fc.oneof(key, word), tie('any'), { maxKeys: 6 }),
  ),
})).any;
/** Whole, cut short, or no JSON at all. */
const payload = fc.oneof(
  fc.tuple(value, fc.double({ min: 0.5, max: 1.5, noNaN: true })).map(([any, part]) => {
    const text = JSON.stringify(any);
    return text.slice(0, Math.ceil(text.length * part));
  }),
  word,
);

test('nothing that a device or a stranger publishes throws, or becomes an attribute that cannot be', (t) => {
  const real = [
    say('tasmota/discovery/A4CF12B0E1F2/config', TASMOTA_CONFIG),
    say('homeassistant/switch/greenhouse/pump/config', esphomeEntity('switch', 'pump')),
    say('homeassistant/light/greenhouse/lamp/config', esphomeEntity('light', 'lamp')),
  ];
  const spoken = fc.oneof(fc.constantFrom(...real), fc.record({ topic, text: payload }));
  const actions = fc.constantFrom(
    ...[
      ['relay', '1', 'on'],
      ['relay', 'toggle'],
      ['sensor'],
      ['state'],
      ['restart'],
      ['ota', 'http://x/y'],
      ['update'],
      ['command', 'X'],
    ],
  );
  fc.assert(
    fc.property(
      fc.array(spoken, { maxLength: 20 }),
      actions,
      fc.array(spoken, { maxLength: 10 }),
      (before, argv, during) => {
        for (const [firmware, id] of [
          [new TasmotaFirmware(), PLUG],
          [new EsphomeFirmware(), ESPHOME_MAC],
        ] as const) {
          const heard = [...before, ...during];
          for (const message of before) firmware.hear(message);
          const { result } = play(firmware, id, argv, [...during, 'late', 'late', 'late']);
          if (result !== undefined && (result.code < 0 || result.message === '')) return false;
          for (const { topic: at } of heard) {
            const facts = firmware.device(firmware.ownerOf(at) ?? '');
            if (facts !== undefined && check(AttributesSchema, facts.attributes) instanceof Fault) return false;
          }
        }
        return true;
      },
    ),
    { numRuns: 2_000 },
  );
  t.pass();
});

test('what is too long, or too much, is left out', (t) => {
  t.is(jsonObject(`{"a":"${'x'.repeat(DEVICE_LIMITS.textLength)}"}`), undefined);
  t.is(jsonObject('{"a":1'), undefined);
  const firmware = new TasmotaFirmware();
  for (let at = 0; at < DEVICE_LIMITS.devices + 10; at++) {
    const mac = at.toString(16).padStart(12, '0');
    firmware.hear(say(`tasmota/discovery/${mac}/config`, { ...TASMOTA_CONFIG, mac, t: `p${at}` }));
  }
  t.truthy(firmware.device((DEVICE_LIMITS.devices - 1).toString(16).padStart(12, '0')));
  t.is(firmware.device(DEVICE_LIMITS.devices.toString(16).padStart(12, '0')), undefined);
});
