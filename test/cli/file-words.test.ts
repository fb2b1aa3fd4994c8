import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { tlsFiles } from '../../cli/start-agent.ts';
import { checkBackupPlace } from '../../cli/start-backup.ts';
import { newFile } from '../../cli/start-new-file.ts';
import { startTerminal } from '../../cli/start-terminal.ts';
import { Fault } from '../../protocol/faults.ts';

async function scratch(t: { teardown(clean: () => Promise<void>): void }): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mesq-words-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Code and message of what must be a fault. */
function told(answer: unknown): readonly string[] {
  return answer instanceof Fault ? [answer.code, answer.message] : ['no fault'];
}

test('a file that cannot be read is told in words, with the option that names it', async (t) => {
  const folder = await scratch(t);
  const nodir = join(folder, 'nodir');
  const { readText } = startTerminal('0.0.0');
  t.deepEqual(told(await readText(folder)), ['BAD_USAGE', `${folder} is a folder`]);
  t.is(await readText(join(folder, 'none')), undefined);
  t.deepEqual(told(await tlsFiles({ ca: join(nodir, 'x') })), ['BAD_USAGE', `--ca: there is no folder ${nodir}`]);
  const none = join(folder, 'none');
  t.deepEqual(told(await tlsFiles({ tlsCert: none })), ['BAD_USAGE', `--tls-cert: there is no file ${none}`]);
  t.deepEqual(told(await tlsFiles({ tlsKey: folder })), ['BAD_USAGE', `--tls-key: ${folder} is a folder`]);
  await writeFile(none, 'pem');
  t.deepEqual(await tlsFiles({ ca: none, tlsKey: none }), { ca: 'pem', key: 'pem' });
});

test('a file that cannot be written is told in words, and no folder is made for a mistyped path', async (t) => {
  const folder = await scratch(t);
  const nodir = join(folder, 'nodir');
  const path = join(nodir, 'x');
  t.deepEqual(told(await newFile(path, false)), ['BAD_USAGE', `there is no folder ${nodir}`]);
  t.deepEqual(told(await checkBackupPlace(path)), ['BAD_USAGE', `there is no folder ${nodir}`]);
  t.deepEqual(told(await checkBackupPlace(folder)), ['BAD_USAGE', `${folder} is a folder`]);
  t.is(await checkBackupPlace(join(folder, 'x')), undefined);
  await writeFile(join(folder, 'file'), '');
  const below = join(folder, 'file', 'x');
  t.deepEqual(told(await newFile(below, false)), ['BAD_USAGE', `${below} lies below what is no folder`]);
  t.false(existsSync(nodir));
  t.deepEqual(await readdir(folder), ['file']);
});
