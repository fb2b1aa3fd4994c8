import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { bulkBudgetOf } from '../../cli/bulk-budget.ts';
import { agentLog } from '../../cli/start-agent-log.ts';
import { LogFile } from '../../cli/start-log-file.ts';
import { Fault } from '../../protocol/faults.ts';

async function scratch(t: { teardown(clean: () => Promise<void>): void }): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mesq-log-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

test('a log file is turned at its limit, one part is kept, and nothing is written before enough is gathered', async (t) => {
  const path = join(await scratch(t), 'log');
  const size = async (name: string) => (await stat(name)).size;
  const file = new LogFile(path, { mostBytes: 1_000, gatherBytes: 300 });
  const line = Buffer.from(`${'x'.repeat(99)}\n`);
  file.write(line);
  file.write(line);
  t.is(await size(path), 0);
  file.write(line);
  t.is(await size(path), 300);
  for (let at = 0; at < 30; at++) file.write(line);
  file.write(line);
  t.true((await size(path)) <= 1_000);
  t.true((await size(`${path}.old`)) <= 1_000);
  file.close();
  t.is(((await size(path)) + (await size(`${path}.old`))) % 100, 0);
  t.is(file.dropped, 0);
});

test("an agent's log gathers what a broken link says, and writes an error at once, with all before it", async (t) => {
  const path = join(await scratch(t), 'agent.log');
  const logging = agentLog('info', path);
  if (logging instanceof Fault) return t.fail(logging.message);
  logging.log.warn('bus_disconnected', { url: 'mqtt://m1' });
  logging.log.info('bus_connected', { url: 'mqtt://m1' });
  logging.log.debug('not at this level');
  t.is(await readFile(path, 'utf8'), '');
  logging.log.error('registration not kept');
  t.is((await readFile(path, 'utf8')).split('\n').length, 4);
  logging.log.info('the last words');
  logging.close();
  t.regex(await readFile(path, 'utf8'), /the last words\n$/);
  t.deepEqual(logging.counts(), { lines: 4, dropped: 0 });
});

test('a log file that cannot be is a wrong usage', async (t) => {
  const folder = await scratch(t);
  const refused = agentLog('info', folder);
  t.true(refused instanceof Fault && refused.code === 'BAD_USAGE');
  t.is((refused as Fault).message, `--log-file: ${folder} is a folder`);
  const mistyped = join(folder, 'nodir');
  const missing = agentLog('info', join(mistyped, 'log'));
  t.is((missing as Fault).message, `--log-file: there is no folder ${mistyped}`);
  t.false(existsSync(mistyped), 'and none is made');
});

test('what a budget may be written as', (t) => {
  t.is(bulkBudgetOf(undefined, false), undefined);
  t.is(bulkBudgetOf(undefined, true), 5 * 1_048_576);
  t.is(bulkBudgetOf('none', true), undefined);
  t.is(bulkBudgetOf('20M', false), 20 * 1_048_576);
  for (const text of ['0', 'much', '-1']) t.like(bulkBudgetOf(text, false), { code: 'BAD_USAGE' }, text);
});
