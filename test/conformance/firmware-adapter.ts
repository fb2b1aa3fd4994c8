import type { ExecutionContext } from 'ava';
import fc from 'fast-check';
import * as v from 'valibot';
import type { Finding, FirmwareAdapter, Surroundings } from '../../firmware-adapters/adapter.ts';
import { together } from '../../firmware-adapters/combine.ts';
import type { DeviceFiles } from '../../io/device-files.ts';
import { AttributesSchema } from '../../protocol/attributes.ts';
import { RESOURCE_NAME } from '../../protocol/resource-name.ts';
import { ResourcesSchema } from '../../protocol/resources.ts';

/** One kind of machine, and the adapter that is for it. */
export interface AdapterHarness {
  readonly make: (surroundings: Surroundings) => FirmwareAdapter;
  /** Every path of a machine of its kind with what it holds, every command line with what is printed. */
  readonly files: Readonly<Record<string, string>>;
  readonly programs: Readonly<Record<string, string>>;
  /** A machine in memory. */
  readonly machine: (
    files: Readonly<Record<string, string>>,
    programs: Readonly<Record<string, string>>,
  ) => DeviceFiles;
  /** True for the one adapter that is for every machine. */
  readonly any?: true;
}

type Check = (t: ExecutionContext, harness: AdapterHarness) => Promise<void>;

/** No probe is worth more. */
const MOST_BYTES = 1_048_576;
const MOST_MS = 10_000;
const PLACES = /^\/(?:proc|sys|etc|dev|var\/lib\/nvpmodel|data)(?:\/|$)/;

function adapterOn(harness: AdapterHarness, files = harness.files, programs = harness.programs): FirmwareAdapter {
  return harness.make({ files: harness.machine(files, programs), dataFolder: '/data' });
}

/** What every adapter of a board promises. */
export const FIRMWARE_ADAPTER_CHECKS: Readonly<Record<string, Check>> = {
  'claims its machine, and says the same twice': async (t, harness) => {
    const adapter = adapterOn(harness);
    const finding = await adapter.probe();
    t.not(finding, undefined);
    fits(t, finding);
    t.deepEqual(await adapter.probe(), finding);
    sensible(t, await adapter.sample());
  },

  'claims no machine without its marks': async (t, harness) => {
    const adapter = adapterOn(harness, {}, {});
    const finding = await adapter.probe();
    if (harness.any === undefined) t.is(finding, undefined);
    t.true(Object.values(await adapter.sample()).every((value) => value !== true));
  },

  'bounds every read and every program, reads in its places alone, and runs nothing by a path': async (t, harness) => {
    const machine = harness.machine(harness.files, harness.programs);
    const bounded = (amount: number, timeoutMs: number): void => {
      t.true(amount > 0 && amount <= MOST_BYTES, String(amount));
      t.true(timeoutMs > 0 && timeoutMs <= MOST_MS, String(timeoutMs));
    };
    const adapter = harness.make({
      dataFolder: '/data',
      files: {
        ...machine,
        read: (path, maxBytes, timeoutMs) => {
          bounded(maxBytes, timeoutMs);
          t.regex(path, PLACES);
          return machine.read(path, maxBytes, timeoutMs);
        },
        list: (path, maxNames, timeoutMs) => {
          bounded(maxNames, timeoutMs);
          t.regex(path, PLACES);
          return machine.list(path, maxNames, timeoutMs);
        },
        run: (program, argv, maxBytes, timeoutMs) => {
          bounded(maxBytes, timeoutMs);
          t.regex(program, /^[\w-]+$/);
          return machine.run(program, argv, maxBytes, timeoutMs);
        },
      },
    });
    await adapter.probe();
    await adapter.sample();
  },

  'answers where every single read hangs and is given up, and every program too': async (t, harness) => {
    const machine = harness.machine(harness.files, harness.programs);
    const tries = ['', ...Object.keys(harness.files), ...Object.keys(harness.programs)];
    for (const sick of tries) {
      const adapter = harness.make({
        dataFolder: '/data',
        files: {
          ...machine,
          read: (path, ...bounds) => (path === sick || sick === '' ? gone() : machine.read(path, ...bounds)),
          list: (path, ...bounds) => (sick === '' ? gone() : machine.list(path, ...bounds)),
          run: (program, argv, ...bounds) =>
            [program, ...argv].join(' ') === sick || sick === '' ? gone() : machine.run(program, argv, ...bounds),
          disk: (path, timeoutMs) => (sick === '' ? gone() : machine.disk(path, timeoutMs)),
        },
      });
      fits(t, await adapter.probe());
      sensible(t, await adapter.sample());
    }
  },

  'works below a sysroot, where no program is run': async (t, harness) => {
    const adapter = adapterOn(harness, harness.files, {});
    const finding = await adapter.probe();
    t.not(finding, undefined);
    fits(t, finding);
    sensible(t, await adapter.sample());
  },

  'truncated, garbled and strange files and outputs neither make it fail nor say what cannot be sent': async (
    t,
    harness,
  ) => {
    const damage = fc.option(
      fc.oneof(
        fc.record({ cut: fc.nat(60) }),
        fc.record({
          text: fc.oneof(
            fc.string({ unit: 'binary', maxLength: 200 }),
            fc.constantFrom(
              '-1',
              '0',
              'max',
              '9'.repeat(40),
              '-256000',
              ':::\n',
              '[N/A]',
              '0xffffffff',
              'NaN',
              '1e999',
            ),
          ),
        }),
        fc.constant('missing' as const),
      ),
    );
    const entries = [...Object.entries(harness.files), ...Object.entries(harness.programs)];
    const known = Object.keys(harness.files).length;
    await fc.assert(
      fc.asyncProperty(fc.array(damage, { minLength: entries.length, maxLength: entries.length }), async (damages) => {
        const damaged = entries.flatMap(([key, content], at): [string, string, number][] => {
          const what = damages[at];
          if (what === 'missing') return [];
          if (what === null || what === undefined) return [[key, content, at]];
          return [[key, 'cut' in what ? content.slice(0, what.cut) : what.text, at]];
        });
        const pick = (keep: (at: number) => boolean) =>
          Object.fromEntries(damaged.filter(([, , at]) => keep(at)).map(([key, content]) => [key, content]));
        const adapter = adapterOn(
          harness,
          pick((at) => at < known),
          pick((at) => at >= known),
        );
        fits(t, await adapter.probe());
        sensible(t, await adapter.sample());
      }),
      { numRuns: 60 },
    );
  },

  'an action that it does not have is not done': async (t, harness) => {
    const end = await adapterOn(harness).act('no such action', '1');
    t.false(end.done);
    t.not(end.message, '');
  },
};

function gone(): Promise<undefined> {
  return Promise.resolve(undefined);
}

/** Fits on the wire and into an environment. */
function fits(t: ExecutionContext, finding: Finding | undefined): void {
  if (finding === undefined) return;
  const { resources, attributes, devices, notes } = finding;
  t.deepEqual(v.parse(ResourcesSchema, resources), resources);
  t.deepEqual(v.parse(AttributesSchema, attributes), [...attributes]);
  t.true(devices.length <= 1_000);
  t.is(new Set(devices.map(({ kind, id }) => `${kind} ${id}`)).size, devices.length);
  for (const { kind, id, environment, nodes, slots = 1 } of devices) {
    t.regex(kind, RESOURCE_NAME);
    t.regex(id, /^[\x21-\x2b\x2d-\x7e]{1,128}$/, 'an id is one word without commas');
    t.true(Number.isInteger(slots) && slots >= 1);
    for (const [name, value] of Object.entries(environment)) {
      t.regex(name, /^[A-Z][A-Z0-9_]*$/);
      t.regex(value, /^[\x21-\x7e]{1,128}$/);
    }
    for (const node of nodes) t.regex(node, /^\/dev\/[^\0]+$/);
  }
  for (const note of notes) t.true(note.length > 0 && note.length <= 500);
}

/** Numbers are numbers, shares are shares. */
function sensible(t: ExecutionContext, sample: Awaited<ReturnType<FirmwareAdapter['sample']>>): void {
  t.deepEqual(together([sample]), sample, 'no value is undefined or beyond numbers');
  const { temperatureC = 0, acceleratorC = 0, acceleratorLoad = 0, battery = 0, diskUsed = 0, wear = 0 } = sample;
  for (const share of [acceleratorLoad, battery, diskUsed]) t.true(share >= 0 && share <= 1, String(share));
  t.true(wear >= 0 && wear <= 1.1);
  t.true(temperatureC >= -60 && temperatureC <= 150, String(temperatureC));
  t.true(Math.abs(acceleratorC) <= 1_000, String(acceleratorC));
}
