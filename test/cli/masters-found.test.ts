import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { mastersToStart } from '../../cli/start-masters-found.ts';
import { Fault } from '../../protocol/faults.ts';

test('mesq up starts the masters that a cluster was founded with, and says so where others are asked for', async (t) => {
  const data = await mkdtemp(join(tmpdir(), 'mesq-up-'));
  t.teardown(() => rm(data, { recursive: true }));
  t.is(await mastersToStart(undefined, data), 1, 'nothing is there yet');
  t.is(await mastersToStart(3, data), 3);
  t.is(await mastersToStart(3, join(data, 'not-there')), 3);
  await mkdir(join(data, 'm1'));
  await mkdir(join(data, 'a1'));
  t.is(await mastersToStart(undefined, data), 1);
  t.is(await mastersToStart(1, data), 1);
  const more = await mastersToStart(3, data);
  if (!(more instanceof Fault)) return t.fail('two masters of no cluster would run');
  t.is(more.code, 'BAD_USAGE');
  t.is(more.message, `the cluster in ${data} has one master, and not 3`);
  await Promise.all(['m2', 'm3'].map((name) => mkdir(join(data, name))));
  t.is(await mastersToStart(undefined, data), 3);
  const fewer = await mastersToStart(1, data);
  t.regex(fewer instanceof Fault ? fewer.message : '', /has 3 masters, and not 1$/);
});
