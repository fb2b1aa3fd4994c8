import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ExecutionContext } from 'ava';

/** Compares with test/transcripts/NAME, which `UPDATE_GOLDENS=1 npm test` writes anew: read the difference before committing it. */
export function matchesGolden(t: ExecutionContext, name: string, text: string): void {
  const path = join('test/transcripts', name);
  if (process.env['UPDATE_GOLDENS'] === '1') {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
  t.is(text, existsSync(path) ? readFileSync(path, 'utf8') : '', `${path} differs`);
}
