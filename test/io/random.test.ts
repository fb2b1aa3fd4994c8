import test from 'ava';
import { systemRandom } from '../../io/node/random.ts';

test('what one has drawn nobody else draws, however much is asked for at once', (t) => {
  const drawn = new Set<string>();
  // Some thousand words, which fill the generator's pool many times over, and end where it ends and across that.
  for (let turn = 0; turn < 1_000; turn++)
    for (const count of [16, 7, 12]) {
      const bytes = systemRandom.bytes(count);
      t.is(bytes.length, count);
      drawn.add(Buffer.from(bytes).toString('hex'));
    }
  const large = systemRandom.bytes(5_000);
  t.is(large.length, 5_000);
  drawn.add(Buffer.from(large).toString('hex'));
  t.is(drawn.size, 3_001);
});

test('what was given belongs to who asked: it changes with no later draw', (t) => {
  const first = systemRandom.bytes(16);
  const copy = Buffer.from(first);
  for (let turn = 0; turn < 500; turn++) systemRandom.bytes(16);
  t.deepEqual(Buffer.from(first), copy);
});

test('numbers are from 0 to below 1, over all of it', (t) => {
  const quarters = new Set<number>();
  for (let turn = 0; turn < 1_000; turn++) {
    const number = systemRandom.next();
    t.true(number >= 0 && number < 1);
    quarters.add(Math.floor(number * 4));
  }
  t.is(quarters.size, 4);
});
