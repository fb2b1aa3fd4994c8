import type { ExecutionContext } from 'ava';
import fc from 'fast-check';
import {
  type ActionResult,
  DEVICE_LIMITS,
  type DeviceFirmware,
  type DeviceMessage,
  type Heard,
  type Script,
} from '../../firmware-adapters/device.ts';
import { AttributesSchema, formatAttributes } from '../../protocol/attributes.ts';
import { check } from '../../protocol/envelope.ts';
import { Fault } from '../../protocol/faults.ts';

/** One firmware that speaks MQTT, and what its devices say. */
export interface FirmwareHarness {
  readonly make: () => DeviceFirmware;
  /** All that a broker keeps of one device that is there. */
  readonly words: readonly DeviceMessage[];
  /** Of that device: its MAC address. */
  readonly id: string;
  /** That it is away, as its last will says it. */
  readonly will: DeviceMessage;
  /** What an action asks for, and what the device answers to it. */
  readonly action: { readonly argv: readonly string[]; readonly answers: readonly DeviceMessage[] };
  /** Topics of commands to it. */
  readonly commands: RegExp;
  /** The same words of another device, whose MAC address is that number. */
  readonly another: (number: number) => readonly DeviceMessage[];
  /** The same words at the same topics, of a board with that MAC address that has taken its place. */
  readonly replaced: (mac: string) => readonly DeviceMessage[];
}

type Check = (t: ExecutionContext, harness: FirmwareHarness) => void;

/** No action waits for more turns than its deadlines allow. */
const MOST_TURNS = 50;

/** What every firmware promises. */
export const DEVICE_FIRMWARE_CHECKS: Readonly<Record<string, Check>> = {
  'asks for filters that a broker grants, and knows nobody by itself': (t, { make, id }) => {
    const firmware = make();
    t.true(firmware.filters.length > 0 && firmware.filters.length <= 20);
    for (const filter of firmware.filters) t.regex(filter, /^[^#]+(#)?$/, 'never all there is');
    t.is(firmware.device(id), undefined);
    t.is(firmware.script(id, ['state']) instanceof Object && 'next' in firmware.script(id, ['state']), false);
  },

  'knows a device by its words, by its MAC address, and says what can be sent': (t, harness) => {
    const facts = told(harness).device(harness.id);
    t.like(facts, { id: harness.id, online: true });
    t.regex(facts?.name ?? '', /./);
    t.false(check(AttributesSchema, facts?.attributes) instanceof Fault);
    t.true(formatAttributes(facts?.attributes ?? []).includes('runs:actions'));
  },

  'hears every word twice without a change': (t, harness) => {
    const firmware = told(harness);
    const before = firmware.device(harness.id);
    for (const word of harness.words) firmware.hear(word);
    for (const word of harness.words) t.deepEqual(firmware.hear(word).changed, [], word.topic);
    t.deepEqual(firmware.device(harness.id), before);
  },

  'knows the same in whatever order a broker tells it': (t, harness) => {
    const facts = told(harness).device(harness.id);
    fc.assert(
      fc.property(fc.shuffledSubarray([...harness.words], { minLength: harness.words.length }), (words) => {
        const firmware = harness.make();
        // A filter that a word asks for brings the words that were there before.
        for (const word of [...words, ...words]) firmware.hear(word);
        t.deepEqual(firmware.device(harness.id), facts);
      }),
      { numRuns: 30 },
    );
  },

  'believes a last will, and the return after it': (t, harness) => {
    const firmware = told(harness);
    t.deepEqual(firmware.hear(harness.will).changed, [harness.id]);
    t.is(firmware.device(harness.id)?.online, false);
    for (const word of harness.words) firmware.hear(word);
    t.is(firmware.device(harness.id)?.online, true);
  },

  'an action that it does not have ends with 127, and names those it has': (t, harness) => {
    const firmware = told(harness);
    for (const argv of [['no such action'], [''], []]) {
      const { result, published } = played(firmware, harness, argv, []);
      t.is(result?.code, 127, JSON.stringify(argv));
      for (const { name } of firmware.actions) t.true(result?.message.includes(name), name);
      t.deepEqual(published, []);
    }
  },

  'an action speaks to its own device alone, and ends well by the answer': (t, harness) => {
    const firmware = told(harness);
    for (const word of harness.another(7)) firmware.hear(word);
    const { argv, answers } = harness.action;
    const { result, published } = played(firmware, harness, argv, answers);
    t.is(result?.code, 0, result?.message);
    t.true(published.length > 0);
    for (const { topic } of published) t.regex(topic, harness.commands);
  },

  'no action waits for ever, however little or strange the answers': (t, harness) => {
    const heard: fc.Arbitrary<Heard> = fc.oneof(
      fc.constant('late' as const),
      fc.constantFrom(...harness.words, ...harness.action.answers, harness.will),
      strange(harness),
    );
    fc.assert(
      fc.property(fc.array(heard, { maxLength: 20 }), fc.nat(5), (before, pick) => {
        const firmware = told(harness);
        const actions = firmware.actions.map(({ name }) => [name, 'http://files.lan/firmware.bin', 'on']);
        const argv = actions[pick % actions.length] ?? [];
        const silence = Array.from({ length: MOST_TURNS }, () => 'late' as const);
        const { result } = played(firmware, harness, argv, [...before, ...silence]);
        t.not(result, undefined, argv.join(' '));
        t.true(Number.isInteger(result?.code) && (result?.code ?? -1) >= 0 && (result?.code ?? 256) <= 255);
      }),
      { numRuns: 100 },
    );
  },

  'strange words neither make it fail nor say what cannot be sent': (t, harness) => {
    fc.assert(
      fc.property(fc.array(strange(harness), { maxLength: 20 }), (words) => {
        const firmware = told(harness);
        for (const word of words) firmware.hear(word);
        const facts = firmware.device(harness.id);
        t.is(facts?.id, harness.id);
        t.false(check(AttributesSchema, facts?.attributes) instanceof Fault);
      }),
      { numRuns: 100 },
    );
  },

  'a broker full of devices has a bound': (t, harness) => {
    const firmware = harness.make();
    const changed = new Set<string>();
    for (let number = 1; number <= DEVICE_LIMITS.devices + 50; number++)
      for (const word of harness.another(number)) for (const id of firmware.hear(word).changed) changed.add(id);
    t.is([...changed].filter((id) => firmware.device(id) !== undefined).length, DEVICE_LIMITS.devices);
  },

  'a board that takes the place of another is another device, and the former is none': (t, harness) => {
    const firmware = told(harness);
    const next = 'c0ffee000001';
    const changed = harness.replaced(next).flatMap((word) => firmware.hear(word).changed);
    t.deepEqual([...new Set(changed)], [harness.id, next], 'both are told of');
    t.is(firmware.device(harness.id), undefined);
    t.like(firmware.device(next), { id: next, online: true });
    const { result, published } = played(firmware, harness, harness.action.argv, harness.action.answers);
    t.deepEqual({ code: result?.code, published }, { code: 1, published: [] }, 'its place has one voice');
    t.is(firmware.hear(harness.will).changed.includes(next), true, 'the last will is that of who is there');
    t.is(firmware.device(next)?.online, false);
    for (const word of harness.words) firmware.hear(word);
    t.like(firmware.device(harness.id), { id: harness.id, online: true });
    t.is(firmware.device(next), undefined, 'and back');
  },

  'one topic with ever other boards has a bound': (t, harness) => {
    const firmware = told(harness);
    const met = new Set<string>();
    for (let number = 1; number <= DEVICE_LIMITS.devices * 2; number++)
      for (const word of harness.replaced(number.toString(16).padStart(12, '0')))
        for (const id of firmware.hear(word).changed) met.add(id);
    t.is(met.size, DEVICE_LIMITS.devices);
    t.is([...met].filter((id) => firmware.device(id) !== undefined).length, 1);
  },
};

function told({ make, words }: FirmwareHarness): DeviceFirmware {
  const firmware = make();
  for (const word of [...words, ...words]) firmware.hear(word);
  return firmware;
}

/** Topics and texts of the device itself, cut, doubled or replaced. */
function strange({ words, action, will }: FirmwareHarness): fc.Arbitrary<DeviceMessage> {
  const known = [...words, ...action.answers, will];
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.json({ maxDepth: 3 }),
    fc.constantFrom('', '{', '[]', 'null', '{"__proto__":{}}', '{"mac":17}', 'x'.repeat(20_000)),
    fc.tuple(fc.constantFrom(...known), fc.nat(80)).map(([word, length]) => word.text.slice(0, length)),
  );
  const topic = fc.oneof(fc.constantFrom(...known.map((word) => word.topic)), fc.string({ maxLength: 40 }));
  return fc.record({ topic, text });
}

function played(
  firmware: DeviceFirmware,
  { id }: FirmwareHarness,
  argv: readonly string[],
  heard: readonly Heard[],
): { result: ActionResult | undefined; published: readonly DeviceMessage[] } {
  const script = firmware.script(id, argv);
  if (!('next' in script)) return { result: script, published: [] };
  const published: DeviceMessage[] = [];
  let step = script.next();
  for (const one of heard) {
    if (step.done === true) break;
    published.push(...(step.value.publish ?? []));
    if (one !== 'late') firmware.hear(one);
    step = (script as Script).next(one);
  }
  return { result: step.done === true ? step.value : undefined, published };
}
