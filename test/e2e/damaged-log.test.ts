import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { Quorum } from './quorum.ts';

/** Turns a byte of the first record: whole ones follow it. */
async function spoil(folder: string): Promise<Buffer> {
  const [name = ''] = (await readdir(folder)).filter((each) => each.endsWith('.segment'));
  const bytes = await readFile(join(folder, name));
  bytes[42] = (bytes[42] ?? 0) ^ 0xff;
  await writeFile(join(folder, name), bytes);
  return bytes;
}

test('a master whose log was damaged says so, keeps it, rejoins empty, and votes again', async (t) => {
  const quorum = await Quorum.start(t, 1);
  t.is((await quorum.spawn(['run', '--', 'true']).ended).code, 0);
  const leader = await quorum.leader();
  const [damaged = '', other = ''] = [...quorum.urls.keys()].filter((id) => id !== leader);
  await quorum.masters.get(damaged)?.end('SIGKILL');
  const log = join(quorum.dataOf(damaged), 'log');
  const spoilt = await spoil(log);

  const again = quorum.startMaster(damaged);
  await again.said(/error the log is damaged: .*rejoins.*segment is damaged at byte 24.*kept=log\.corrupt-1/);
  await again.said(/this master has all again that is committed, and votes/);
  const [kept = ''] = (await readdir(`${log}.corrupt-1`)).filter((each) => each.endsWith('.segment'));
  t.true(spoilt.equals(await readFile(join(`${log}.corrupt-1`, kept))));
  await quorum.whole();

  // Two are left, and it takes the votes of both.
  await quorum.masters.get(leader)?.end('SIGKILL');
  const next = await quorum.until((masters) => masters.find(({ role, id }) => role === 'leader' && id !== leader)?.id);
  t.true([damaged, other].includes(next));
  const run = await quorum.spawn(['run', '--', 'echo', 'after']).ended;
  t.like(run, { code: 0, stdout: 'after\n' }, run.stderr);
});

test('the only master does not start with a damaged log, and says what mends it', async (t) => {
  const quorum = await Quorum.start(t, 0, { masters: 1 });
  await quorum.masters.get('m1')?.end('SIGKILL');
  const log = join(quorum.dataOf('m1'), 'log');
  await spoil(log);
  const ended = await quorum.startMaster('m1').ended;
  t.is(ended.code, 1);
  t.regex(ended.stderr, /segment is damaged at byte 24[\s\S]*mesq restore BACKUP --data NEW/);
  t.deepEqual(await readdir(quorum.dataOf('m1')).then((names) => names.filter((name) => name.startsWith('log'))), [
    'log',
  ]);
});
