import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { bindToMaster } from '../../cli/start-master-id.ts';
import type { Fault } from '../../protocol/faults.ts';

test('a data folder belongs to the master that used it first', async (t) => {
  const data = mkdtempSync(join(tmpdir(), 'mesq-master-id-'));
  t.teardown(() => rmSync(data, { recursive: true }));
  t.is(await bindToMaster(data, 'm1'), undefined);
  t.is(await bindToMaster(data, 'm1'), undefined);
  const fault = (await bindToMaster(data, 'm2')) as Fault;
  t.is(fault.code, 'CONFLICT');
  t.regex(fault.message, /belongs to master m1/);
  t.is(await bindToMaster(data, 'm1'), undefined, 'the refusal has changed nothing');
});
