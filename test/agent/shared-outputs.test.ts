import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { sharedOutputs } from '../../agent/shared-outputs.ts';
import { openOutputFile } from '../../io/node/output-file.ts';

test('whoever asks for an output gets the same one, and reads it right while another cuts it', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'mesq-outputs-'));
  t.teardown(() => rmSync(root, { recursive: true }));
  const output = sharedOutputs((folder, stream) => openOutputFile(join(root, `${folder}-${stream}`), 1_000));
  t.is(output('a', 'stdout'), output('a', 'stdout'));
  t.not(output('a', 'stdout'), output('a', 'stderr'));
  const path = join(root, 'a-stdout');
  const [cutter, reader] = [output('a', 'stdout'), output('a', 'stdout')];
  for (let round = 1; round <= 50; round++) {
    appendFileSync(path, `${'x'.repeat(1_500)}${String(round).padStart(4)}`);
    const end = round * 1_504;
    const [, chunk] = await Promise.all([cutter.cut(), reader.read(end - 4, 10)]);
    t.is(chunk?.end, end);
    t.is(Buffer.from(chunk?.bytes ?? []).toString(), String(round).padStart(4));
  }
});
