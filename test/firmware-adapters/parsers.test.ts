import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { parseIdentify } from '../../firmware-adapters/hailo/identify.ts';
import { parseGpuTop } from '../../firmware-adapters/intel-gpu/gpu-top.ts';
import { parseGpuLoad } from '../../firmware-adapters/jetson/gpu-load.ts';
import { parseModeStatus, parsePowerMode, parsePowerModes } from '../../firmware-adapters/jetson/power-mode.ts';
import { parseRelease } from '../../firmware-adapters/jetson/release.ts';
import { parseTegrastats, type Tegrastats, watts } from '../../firmware-adapters/jetson/tegrastats.ts';
import { wearOf } from '../../firmware-adapters/linux/flash-wear.ts';
import { defaultInterface } from '../../firmware-adapters/linux/metered-link.ts';
import { zoneDegrees } from '../../firmware-adapters/linux/thermal.ts';
import { parseMig, parseSmi } from '../../firmware-adapters/nvidia/smi.ts';
import { parseThrottled, voltageInLog } from '../../firmware-adapters/raspberry-pi/throttling.ts';
import { isTooLow, parseCameras, parseRails, parseTemperature } from '../../firmware-adapters/raspberry-pi/vcgencmd.ts';
import { parseNpuLoad } from '../../firmware-adapters/rockchip-npu/npu-load.ts';
import * as boards from './fixtures/boards.ts';

const PARSERS: Readonly<Record<string, (text: string) => unknown>> = {
  parseTegrastats,
  parseRelease,
  parsePowerMode,
  parsePowerModes,
  parseModeStatus,
  parseGpuLoad,
  parseSmi,
  parseMig,
  parseThrottled,
  voltageInLog,
  parseTemperature,
  parseRails,
  parseCameras,
  parseIdentify,
  parseGpuTop,
  parseNpuLoad,
  zoneDegrees,
  defaultInterface,
  wearOf: (text) => wearOf(text, text.slice(0, 4)),
};

/** Texts that some parser knows, whole: what is made of them by cutting, mixing and doubling is nearly right. */
const KNOWN = Object.values(boards).flatMap((board) =>
  typeof board === 'string' ? [board] : [...Object.values(board.files), ...Object.values(board.programs)],
);

for (const [name, parse] of Object.entries(PARSERS)) {
  test(`${name} takes anything, quickly, and says little`, (t) => {
    const word = fc.oneof(
      fc.constantFrom(...KNOWN.flatMap((text) => text.split(/[\s,]+/)).filter((one) => one !== '')),
      fc.string({ unit: 'binary', maxLength: 20 }),
      fc.constantFrom('off', '-256', '[N/A]', '0x', '9'.repeat(60), '%', '@', '(', '['),
    );
    const text = fc.oneof(
      fc.constantFrom(...KNOWN).chain((whole) => fc.nat(whole.length).map((at) => whole.slice(0, at))),
      fc.array(word, { maxLength: 60 }).map((words) => words.join(' ')),
      fc
        .array(fc.constantFrom(...KNOWN.flatMap((one) => one.split('\n'))), { maxLength: 30 })
        .map((lines) => lines.join('\n')),
      fc.tuple(word, fc.nat(5_000)).map(([one, times]) => `${one} `.repeat(times)),
      fc.string({ unit: 'binary', maxLength: 500 }),
    );
    fc.assert(
      fc.property(text, (one) => {
        const said = parse(one);
        t.true((JSON.stringify(said, plain) ?? '').length < 100_000);
        t.deepEqual(parse(one), said);
        t.true(numbersIn(said).every(Number.isFinite));
      }),
      { numRuns: 200 },
    );
  });
}

function plain(_key: string, value: unknown): unknown {
  return value instanceof Map ? [...value] : value;
}

function numbersIn(value: unknown): number[] {
  if (typeof value === 'number') return [value];
  if (value instanceof Map) return [...value.values()].flatMap(numbersIn);
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(numbersIn) : [];
}

function line(text: string): Tegrastats {
  const parsed = parseTegrastats(text);
  if (parsed === undefined) throw new Error(`nothing in ${text}`);
  return parsed;
}

test('tegrastats of the first Jetsons, and of the newest', (t) => {
  const nano = line(
    'RAM 1500/3964MB (lfb 2x2MB) IRAM 0/252kB(lfb 252kB) CPU [5%@1224,4%@1224,3%@1224,6%@1224] EMC_FREQ 0%@1600 GR3D_FREQ 28%@76 NVDEC 716 APE 25 PLL@37C CPU@40C PMIC@50C GPU@40.5C POM_5V_IN 1750/1628 POM_5V_GPU 0/0',
  );
  t.deepEqual(nano.memoryMb, { used: 1500, total: 3964 });
  t.deepEqual(nano.cores, [0.05, 0.04, 0.03, 0.06]);
  t.is(nano.gpuLoad, 0.28);
  t.is(nano.temperatures.get('gpu'), 40.5);
  t.is(watts(nano.rails), 1.75);
  const xavier = line(
    'RAM 408/15823MB (lfb 3702x4MB) CPU [12%@2265,off] GR3D_FREQ 17% AO@26.5C GPU@28C CPU@28C GPU 1155/1155 CPU 385/385 SOC 2502/2502',
  );
  t.deepEqual([xavier.temperatures.get('gpu'), xavier.rails.get('GPU')], [28, 1155]);
  t.deepEqual(xavier.cores, [0.12, undefined]);
  t.is(watts(xavier.rails), 4.042);
  const jetpack72 = line(
    '07-25-2026 09:08:28 RAM 20642/62817MB (lfb 1x2MB) CPU [23%@2201] GR3D_FREQ 12%@[1300,1300] NVENC0 off cpu@52.968C/50C VDD_GPU_SOC 5139mW/5000mW/6000mW NC 0mW/0mW NC 9mW/9mW',
  );
  t.deepEqual(jetpack72.temperatures, new Map([['cpu', 52.968]]));
  t.deepEqual(
    jetpack72.rails,
    new Map([
      ['VDD_GPU_SOC', 5139],
      ['NC', 0],
    ]),
  );
  t.is(jetpack72.gpuLoad, 0.12);
});

test('lines of tegrastats that are cut, odd or none', (t) => {
  t.deepEqual(line('RAM 100/7765MB CPU [off,off] GR3D_FREQ 0% VDD_IN 1000/1000').cores, [undefined, undefined]);
  t.is(line('GR3D_FREQ @[0,0,0] cpu@34C').gpuLoad, undefined);
  t.is(line('GPC_FREQ 10% CPU@35.2C').gpuLoad, 0.1);
  t.is(line('GR3D_FREQ 40%@[0] GR3D2_FREQ 90%@0').gpuLoad, 0.4);
  t.false(line('RAM 1/2MB GPU@-256C').temperatures.has('gpu'));
  t.is(line('RAM 1/2MB BCPU@-45C').temperatures.get('bcpu'), -45);
  for (const none of [
    '',
    'tegrastats: some banner',
    'garbage line',
    'IOVA 104 MB NVMAP 1124 MB',
    'VIC_FREQ 115 APE 25',
  ])
    t.is(parseTegrastats(none), undefined, none);
});

test('bits of a Raspberry Pi, and the errors that come in their place', (t) => {
  t.deepEqual(parseThrottled('throttled=0x50005'), parseThrottled('50005\n'));
  const { now, sinceBoot } = parseThrottled('throttled=0x80008') ?? {};
  t.deepEqual(now, { underVoltage: false, throttled: false, softTemperatureLimit: true });
  t.deepEqual(sinceBoot, now);
  t.like(parseThrottled('throttled=0x20002'), { now: { throttled: true }, sinceBoot: { throttled: true } });
  t.like(parseThrottled('throttled=0x10000'), { now: { underVoltage: false }, sinceBoot: { underVoltage: true } });
  for (const error of [
    'VCHI initialization failed',
    'error=1 error_msg="Command not registered"',
    'bad argument',
    "Can't open device file: /dev/vcio",
    '',
    'throttled=',
  ])
    t.is(parseThrottled(error), undefined, error);
  const log = '[ 1.0] Under-voltage detected! (0x00050005)\n[ 9.0] Voltage normalised (0x00000000)\n';
  t.deepEqual(voltageInLog(log), { now: false });
  t.deepEqual(voltageInLog(`${log}hwmon hwmon1: Undervoltage detected!\n`), { now: true });
  t.is(voltageInLog('[ 1.0] usb 1-1: new device\n'), undefined);
  t.is(parseTemperature("temp=64.5'C"), 64.5);
  t.is(parseCameras('supported=0 detected=0, libcamera interfaces=1'), 1);
  t.is(parseCameras('supported=1 detected=1'), 1);
  t.true(isTooLow(parseRails('     EXT5V_V volt(24)=4.60000000V')));
  t.false(isTooLow(parseRails('     EXT5V_V volt(24)=4.70000000V\n      BATT_V volt(25)=0.01880340V')));
});

test('releases and power modes of Jetsons', (t) => {
  const jetpacks: readonly (readonly [string, string, number | undefined])[] = [
    ['# R32 (release), REVISION: 7.1, GCID: 1, BOARD: t210ref', '32.7.1', 4],
    ['# R35 (release), REVISION: 4.1, GCID: 1', '35.4.1', 5],
    ['# R39 (release), REVISION: 2.0', '39.2.0', 7],
    ['# R44 (release)', '44', undefined],
  ];
  for (const [text, l4t, jetpack] of jetpacks) t.deepEqual(parseRelease(text), { l4t, jetpack });
  t.is(parseRelease('Ubuntu'), undefined);
  t.deepEqual(parsePowerMode('NVPM WARN: fan\nNV Power Mode: MAXN_SUPER\n2\n'), { id: 2, name: 'MAXN_SUPER' });
  t.is(parsePowerMode('NVPM WARN: power mode is not set!'), undefined);
  t.is(parseModeStatus('pmode:0003 fmode:quiet'), 3);
});

test('what nvidia-smi says in whatever order, and in place of a value', (t) => {
  const [first, second] = parseSmi(
    'power.draw [W], name, unknown.field, index, utilization.gpu [%]\n[N/A], NVIDIA T4, x, 1, [Not Supported]\n30.5 W, NVIDIA T4, x, 0, 26.3\nbad, data, here\n',
  );
  t.like(first, { index: 0, powerW: 30.5, load: 0.263, name: 'NVIDIA T4', uuid: undefined });
  t.like(second, { index: 1, powerW: undefined, load: undefined });
  for (const placeholder of ['[Insufficient Permissions]', '[GPU requires reset]', '[Unknown Error]', 'N/A', ''])
    t.like(parseSmi(`index, temperature.gpu\n0, ${placeholder}`), { 0: { index: 0, temperatureC: undefined } });
  t.deepEqual(parseSmi('No devices were found'), []);
  t.deepEqual(parseMig('GPU 0: NVIDIA A10 (UUID: GPU-1)\n'), []);
  t.deepEqual(parseMig('  MIG 1g.5gb Device 0: (UUID: MIG-GPU-1/1/0)\n'), [], 'without its GPU');
});

test('loads and wear', (t) => {
  t.deepEqual(parseNpuLoad('NPU load:  Core0:  12%, Core1:  45%, Core2:  0%,'), [0.12, 0.45, 0]);
  t.deepEqual(parseNpuLoad('NPU load:  37%'), [0.37]);
  t.deepEqual(parseNpuLoad('7@300000000Hz'), [0.07]);
  t.deepEqual(parseNpuLoad('cat: load: Permission denied'), []);
  t.is(parseGpuLoad('993'), 0.993);
  t.is(parseGpuLoad('-1'), undefined);
  t.deepEqual(
    ['0x04 0x05', '0x0B 0x01', '0x00 0x00', 'x'].map((life) => wearOf(life, undefined)),
    [0.5, 1.1, undefined, undefined],
  );
  t.is(wearOf('0x01', '0x03'), 0.95);
  t.is(wearOf(undefined, '0x01'), undefined);
  t.deepEqual(['-256000', '43000', '-12000', 'x', '200000'].map(zoneDegrees), [
    undefined,
    43,
    -12,
    undefined,
    undefined,
  ]);
  t.is(
    defaultInterface('Iface\tDestination\tMetric\tMask\neth0\t00000000\t100\t00000000\nwwan0\t00000000\t50\t00000000'),
    'wwan0',
  );
  t.deepEqual(
    parseIdentify('Device Architecture: HAILO8\nBoard Name: Hailo-8\n').map(({ architecture }) => architecture),
    ['HAILO8'],
  );
});

/** A folder of outputs that were taken from real boards, each behind a line `# ----`. */
const folder = process.env['MESQ_BOARDS'];

test('outputs of real boards', (t) => {
  if (folder === undefined) {
    t.log('skipped: MESQ_BOARDS names no folder of outputs of real boards');
    t.pass();
    return;
  }
  const samples = new Map(
    readdirSync(folder)
      .filter((name) => /^\d\d_/.test(name))
      .map((name): [string, string[]] => {
        const lines = readFileSync(join(folder, name), 'utf8').split('\n');
        return [name, lines.slice(lines.findIndex((one) => one.startsWith('# ----')) + 1)];
      }),
  );
  for (const [name, lines] of samples) {
    for (const parse of Object.values(PARSERS)) for (const one of [...lines, lines.join('\n')]) parse(one);
    if (!name.includes('tegrastats') || name.includes('malformed')) continue;
    const whole = name.includes('cores_off') ? [lines.join(' ')] : lines.filter((one) => one.includes('RAM '));
    t.true(whole.length > 0, name);
    for (const one of whole) {
      const { memoryMb, cores, temperatures, rails } = line(one);
      t.true(memoryMb !== undefined && memoryMb.used <= memoryMb.total, one);
      t.true(cores.length >= 4 && cores.some((core) => core !== undefined), one);
      t.true(temperatures.size >= 3, one);
      t.true(name.includes('tx1') || (watts(rails) ?? 0) > 1, one);
    }
  }
  const named = (part: string): string => {
    const found = [...samples].find(([name]) => name.includes(part));
    return found?.[1].join('\n') ?? '';
  };
  const throttled = named('get_throttled')
    .split('\n')
    .filter((one) => one.startsWith('throttled='));
  t.true(throttled.length > 0 && throttled.every((one) => parseThrottled(one) !== undefined));
  t.deepEqual(voltageInLog(named('sysfs_and_dmesg')), { now: false });
  const releases = named('nv_tegra_release')
    .split('\n')
    .filter((one) => one.startsWith('# R'));
  t.true(releases.length > 0 && releases.every((one) => parseRelease(one)?.jetpack !== undefined));
  t.is(parseIdentify(named('hailo_identify').split('==')[2] ?? '')[0]?.architecture, 'HAILO8L');
  t.true((parseRails(named('pmic')).powerW ?? 0) > 0.5);
  t.true((parseGpuTop(named('intel_gpu_top'))?.load ?? 0) > 0);
});
