import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { readUpload } from '../../cli/start-upload.ts';
import type { ReadUpload } from '../../cli/terminal.ts';
import { Fault } from '../../sdk/index.ts';
import { SeededRandom } from '../sim/random.ts';
import { type Ended, eventually } from './cluster.ts';
import { Quorum } from './quorum.ts';

/** 5 MB: 50 files of 100 kB, and 60 small ones; no two blocks are alike. */
async function bigFolder(folder: string): Promise<string> {
  const random = new SeededRandom(1);
  await mkdir(join(folder, 'small'), { recursive: true });
  for (let at = 0; at < 50; at++) await writeFile(join(folder, `large-${at}`), random.bytes(100_000));
  for (let at = 0; at < 60; at++) await writeFile(join(folder, 'small', `s${at}`), random.bytes(900));
  return folder;
}

async function sourceOf(folder: string): Promise<ReadUpload> {
  const source = await readUpload(folder, 'folder');
  if (source instanceof Fault) throw new Error(source.message);
  return source;
}

/** Hashes of the blocks that a master has on its disk. */
async function blocksOf(quorum: Quorum, master: string): Promise<Set<string>> {
  const folder = join(quorum.dataOf(master), 'blobs');
  const paths = existsSync(folder) ? await readdir(folder, { recursive: true }) : [];
  return new Set(paths.flatMap((path) => /([0-9a-f]{64})-\d+$/.exec(path)?.[1] ?? []));
}

async function holders(quorum: Quorum, { blocks }: ReadUpload): Promise<string[]> {
  const holding: string[] = [];
  for (const master of quorum.urls.keys()) {
    const has = await blocksOf(quorum, master);
    if (blocks.every(({ hash }) => has.has(hash))) holding.push(master);
  }
  return holding;
}

function run(quorum: Quorum, ...argv: string[]): Promise<Ended> {
  return quorum.spawn(argv).ended;
}

async function begin(t: ExecutionContext, agents: number): Promise<{ quorum: Quorum; folder: string }> {
  const quorum = await Quorum.start(t, agents);
  return { quorum, folder: await bigFolder(join(quorum.folder, 'work')) };
}

test('a folder is with most masters before its job is submitted, and what changes in it is all that travels again', async (t) => {
  const { quorum, folder } = await begin(t, 0);
  const command = ['run', '--detach', '--upload', folder, '--', 'true'];
  const first = await run(quorum, ...command);
  t.is(first.code, 0, first.stderr);
  t.regex(first.stderr, /uploaded .*work: 4\.\d MB in 110 files, 4\.\d MB of it new/);
  t.true((await holders(quorum, await sourceOf(folder))).length >= 2);
  const shown = (await run(quorum, 'job', first.stdout.trim())).stdout;
  t.regex(shown, /^upload .*\/work → \.\/ \(4\.\d MB in 110 files\)$/m);
  t.notRegex(shown, /blob:/);
  t.regex((await run(quorum, ...command)).stderr, /all of it there already/);
  await writeFile(join(folder, 'small', 's30'), 'changed');
  const third = await run(quorum, ...command);
  const [, kilobytes] = /in 110 files, ([\d.]+) kB of it new/.exec(third.stderr) ?? [];
  t.true(Number(kilobytes) < 120, third.stderr);
});

test('the leader is killed in the middle of an upload: it goes on with another, and nothing is lost', async (t) => {
  const { quorum, folder } = await begin(t, 0);
  const source = await sourceOf(folder);
  const client = await quorum.client();
  const leader = await quorum.leader();
  let killed = false;
  const answer = await client.upload(source, {
    onProgress: ({ sent, size }) => {
      if (killed || sent < size / 2) return;
      killed = true;
      quorum.masters.get(leader)?.process.kill('SIGKILL');
    },
  });
  t.true(killed);
  if (answer instanceof Fault) return t.fail(`${answer.code} ${answer.message}`);
  t.log(`${answer.sent} bytes were sent of ${answer.size}`);
  const rest = [...quorum.urls.keys()].filter((id) => id !== leader);
  t.deepEqual(await holders(quorum, source).then((has) => has.filter((id) => id !== leader)), rest);
  quorum.startMaster(leader);
  const again = await client.upload(source);
  t.false(again instanceof Fault);
  t.is((again as { sent: number }).sent, 0);
});

test('a mesq that is killed goes on where it was', async (t) => {
  const { quorum, folder } = await begin(t, 0);
  const leader = await quorum.leader();
  const command = ['run', '--detach', '--upload', folder, '--', 'true'];
  const first = quorum.spawn(command);
  await eventually(async () => ((await blocksOf(quorum, leader)).size > 40 ? true : undefined));
  await first.end('SIGKILL');
  const before = (await blocksOf(quorum, leader)).size;
  t.true(before > 40);
  const second = await run(quorum, ...command);
  t.is(second.code, 0, second.stderr);
  const [, news] = /files, ([\d.]+) MB of it new/.exec(second.stderr) ?? [];
  t.true(Number(news) * 1_048_576 < 5_100_000 - 20 * 32_768, second.stderr);
});

test('a viewer is refused; too much is refused before anything is sent', async (t) => {
  const { quorum, folder } = await begin(t, 0);
  const created = await run(quorum, 'token', 'create', '--role', 'viewer', '--name', 'eve', '--json');
  const { token } = JSON.parse(created.stdout) as { token: string };
  const refused = await run(quorum, 'run', '--token', token, '--upload', folder, '--', 'true');
  t.is(refused.code, 125, refused.stderr);
  t.regex(refused.stderr, /needs the role user; eve has viewer/);
  await writeFile(join(folder, 'sparse'), '');
  await truncate(join(folder, 'sparse'), 600 * 1_048_576);
  const large = await run(quorum, 'run', '--upload', folder, '--', 'true');
  t.is(large.code, 125);
  t.regex(large.stderr, /more than 60\d\.\d MB; an upload may have 512 MB/);
  for (const master of quorum.urls.keys()) t.is((await blocksOf(quorum, master)).size, 0);
});

test('agents get what was uploaded, from another leader too, and a damaged block from another master', async (t) => {
  const { quorum, folder } = await begin(t, 1);
  await writeFile(join(quorum.folder, 'greeting'), 'hello from the laptop');
  const command = ['--upload', `${folder}:work`, '--file', `${join(quorum.folder, 'greeting')}:in/greeting`, '--'];
  const script = 'cat in/greeting && find work -type f | wc -l && cat work/small/s7 | sha256sum';
  const expected = createHash('sha256')
    .update(await readFile(join(folder, 'small', 's7')))
    .digest('hex');
  const first = await run(quorum, 'run', ...command, 'sh', '-c', script);
  t.is(first.code, 0, first.stderr);
  t.is(first.stdout, `hello from the laptop110\n${expected}  -\n`);

  // Nothing of it is with the agent: what another task needs comes from whoever leads now, who finds its disk damaged.
  await writeFile(join(folder, 'small', 's8'), 'changed');
  const source = await sourceOf(folder);
  const client = await quorum.client();
  const uploaded = await client.upload(source);
  t.false(uploaded instanceof Fault);
  const leader = await quorum.leader();
  const all = await eventually(async () => ((await holders(quorum, source)).length === 3 ? true : undefined));
  t.true(all);
  await quorum.masters.get(leader)?.end('SIGKILL');
  const next = await quorum.until((masters) => masters.find(({ role, id }) => role === 'leader' && id !== leader)?.id);
  const [block] = source.blocks;
  const hash = block?.hash ?? '';
  const path = join(quorum.dataOf(next), 'blobs', hash.slice(0, 1), `${hash}-${block?.size}`);
  await writeFile(path, 'rotten');
  const second = await run(quorum, 'run', '--upload', folder, '--', 'sh', '-c', 'cat small/s8 && sha256sum < large-0');
  t.is(second.code, 0, second.stderr);
  const large = createHash('sha256')
    .update(await readFile(join(folder, 'large-0')))
    .digest('hex');
  t.is(second.stdout, `changed${large}  -\n`);
  t.is((await readFile(path)).length, block?.size ?? 0, 'and mended');
});

test('a leader that was away when it was uploaded has it from the others', async (t) => {
  const { quorum, folder } = await begin(t, 0);
  const source = await sourceOf(folder);
  const client = await quorum.client();
  const leader = await quorum.leader();
  const away = [...quorum.urls.keys()].find((id) => id !== leader) ?? '';
  await quorum.masters.get(away)?.end('SIGKILL');
  t.false((await client.upload(source)) instanceof Fault);
  t.false((await holders(quorum, source)).includes(away));
  quorum.startMaster(away);
  await quorum.whole();
  await client.request('masters-transfer', { master: away });
  await quorum.until((masters) => masters.find(({ role, id }) => role === 'leader' && id === away)?.id);
  const answer = await client.upload(source);
  if (answer instanceof Fault) return t.fail(answer.message);
  t.is(answer.sent, 0);
  t.true((await holders(quorum, source)).includes(away));
});
