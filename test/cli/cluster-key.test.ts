import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { ownClusterKey, readClusterKey } from '../../cli/start-cluster-key.ts';
import { Fault } from '../../protocol/faults.ts';
import { SeededRandom } from '../sim/random.ts';

const KEY = 'a-long-line-that-nobody-guesses';

test('a key that others may read or change keeps nobody out: it is refused, with what mends it', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'mesq-key-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, 'key');
  await writeFile(file, `${KEY}\n`);
  const cases: [mode: number, who: string][] = [
    [0o644, 'anybody here has access to it (mode 0644)'],
    [0o604, 'anybody here has access to it (mode 0604)'],
    [0o602, 'anybody here has access to it (mode 0602)'],
    [0o660, 'its group has access to it (mode 0660)'],
  ];
  for (const [mode, who] of cases) {
    await chmod(file, mode);
    const refused = await readClusterKey(file);
    t.true(refused instanceof Fault && refused.code === 'BAD_USAGE' && refused.message.includes(who), who);
    t.is(refused instanceof Fault ? refused.hint : '', `chmod 600 ${file}`);
  }
  for (const mode of [0o600, 0o400]) {
    await chmod(file, mode);
    t.is(await readClusterKey(file), KEY);
  }
});

test('the key of this machine is made by whoever asks first, for its owner alone', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'mesq-key-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const environment = { XDG_STATE_HOME: folder };
  const [one, other] = await Promise.all([1, 2].map((seed) => ownClusterKey(environment, new SeededRandom(seed))));
  t.is(typeof one, 'string');
  t.is(other, one);
  await chmod(join(folder, 'mesq', 'cluster-key'), 0o644);
  const refused = await ownClusterKey(environment, new SeededRandom(3));
  t.true(refused instanceof Fault && /chmod 600/.test(refused.hint ?? ''));
});
