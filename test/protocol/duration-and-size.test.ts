import test from 'ava';
import { parseDuration } from '../../protocol/duration.ts';
import { Fault, type FaultCode } from '../../protocol/faults.ts';
import { shownSize, sizeToMb } from '../../protocol/size.ts';

test('durations are milliseconds', (t) => {
  const cases: readonly (readonly [string, number])[] = [
    ['250ms', 250],
    ['5s', 5_000],
    ['10m', 600_000],
    ['2h', 7_200_000],
    ['1.5h', 5_400_000],
    ['2d', 172_800_000],
    [' 1 s ', 1_000],
    ['0', 0],
    ['0s', 0],
    ['0.5ms', 1],
  ];
  for (const [text, ms] of cases) t.is(parseDuration(text), ms, text);
});

test('sizes are thousandths of a MB, with binary suffixes', (t) => {
  const cases: readonly (readonly [string, number])[] = [
    ['512', 512_000],
    ['512M', 512_000],
    ['2G', 2_048_000],
    ['2g', 2_048_000],
    ['64K', 63],
    ['1024k', 1_000],
    ['1.5T', 1_572_864_000],
    ['0', 0],
  ];
  for (const [text, size] of cases) t.is(sizeToMb(text), size, text);
});

test('faults name the character', (t) => {
  const cases: readonly (readonly [unknown, code: FaultCode, at: number])[] = [
    [parseDuration('5'), 'BAD_DURATION', 2],
    [parseDuration('5 x'), 'BAD_DURATION', 3],
    [parseDuration(''), 'BAD_DURATION', 1],
    [parseDuration('-5s'), 'BAD_DURATION', 1],
    [parseDuration('5S'), 'BAD_DURATION', 2],
    [parseDuration('1h30m'), 'BAD_DURATION', 2],
    [parseDuration('99999d'), 'BAD_DURATION', 1],
    [parseDuration('9'.repeat(400)), 'BAD_DURATION', 401],
    [parseDuration(`${'9'.repeat(400)}s`), 'BAD_DURATION', 1],
    [sizeToMb('2X'), 'BAD_SIZE', 2],
    [sizeToMb('2GB'), 'BAD_SIZE', 2],
    [sizeToMb(' -1'), 'BAD_SIZE', 2],
    [sizeToMb(''), 'BAD_SIZE', 1],
    [sizeToMb('9999999999T'), 'BAD_SIZE', 1],
  ];
  for (const [outcome, code, at] of cases) {
    if (!(outcome instanceof Fault)) return t.fail(`accepted: ${outcome}`);
    t.is(outcome.code, code);
    t.true(outcome.message.includes(`character ${at}: `), outcome.message);
  }
  return t.pass();
});

test('a size is shown as it would be read: binary', (t) => {
  for (const [bytes, shown] of [
    [0, '0 B'],
    [1_023, '1023 B'],
    [1_024, '1.0 kB'],
    [5 * 1_048_576, '5.0 MB'],
    [252_899 * 1_048_576, '247.0 GB'],
    [2 ** 50, '1024.0 TB'],
  ] as const)
    t.is(shownSize(bytes), shown);
  for (const text of ['20M', '5M', '2G', '512K']) {
    const read = sizeToMb(text);
    t.is(shownSize((Number(read) * 1_048_576) / 1_000), `${text.slice(0, -1)}.0 ${text.slice(-1).replace('K', 'k')}B`);
  }
});
