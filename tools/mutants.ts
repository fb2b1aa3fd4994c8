import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { DISK_MUTANTS } from './mutants/disk-mutants.ts';
import { FENCING_MUTANTS } from './mutants/fencing-mutants.ts';
import type { Mutant } from './mutants/mutant.ts';
import { RAFT_MUTANTS } from './mutants/raft-mutants.ts';

/*
 * npm run mutants [word…]             those whose name has a word
 * npm run mutants -- --page [word…]   and writes what was seen into docs/testing.md
 * Plants known bugs of consensus, disks and fencing, one at a time, into a copy of the compiled build, and shows which
 * test notices each. Ends with 1 where one goes unnoticed, or does not fit the code any more.
 */

const MUTANTS: readonly Mutant[] = [...RAFT_MUTANTS, ...DISK_MUTANTS, ...FENCING_MUTANTS];
const PAGE = 'docs/testing.md';
/** After so long without a test that ends, the mutant has made one hang. A simulation of many seeds is one test. */
const QUIET = '90s';
const { values, positionals: words } = parseArgs({
  options: { page: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const root = resolve(import.meta.dirname, '../..');

/** The titles of the tests that fail with it, none where they took too long to tell; undefined where it does not fit the code. */
function noticedBy({ file, from, to, tests, match }: Mutant, folder: string): readonly string[] | undefined {
  const path = join(folder, 'build', file);
  const healthy = readFileSync(path, 'utf8');
  if (!healthy.includes(from)) return undefined;
  writeFileSync(
    path,
    healthy.replace(from, () => to),
  );
  // Simulations take longer than all the rest: only for what nothing else notices.
  const simulations = tests.filter((test) => test.startsWith('sim/'));
  const others = tests.filter((test) => !test.startsWith('sim/'));
  let failed: readonly string[] = [];
  for (const files of [others, simulations])
    if (failed.length === 0 && files.length > 0) failed = failing(files, match, folder);
  writeFileSync(path, healthy);
  return failed;
}

function failing(tests: readonly string[], match: string | undefined, folder: string): readonly string[] {
  const files = tests.map((test) => join('build/test', test));
  const only = match === undefined ? [] : ['--match', match];
  const run = spawnSync(
    process.execPath,
    ['node_modules/ava/entrypoints/cli.mjs', '--tap', `--timeout=${QUIET}`, ...only, ...files],
    { cwd: folder, encoding: 'utf8', timeout: 300_000 },
  );
  if (run.error !== undefined) return [];
  const failed = [...run.stdout.matchAll(/^not ok \d+ - (.*)$/gm)].map(([, title = '']) => title);
  return failed.length === 0 && run.status !== 0 ? ['the tests do not end'] : failed;
}

/** What the page says of each mutant: as it was seen last. */
function rowsOf(page: string): Map<string, string> {
  const rows = [...page.matchAll(/^\| (.+?) +\| (.+?) +\|$/gm)].map(
    ([, name = '', seen = '']) => [name, seen] as const,
  );
  return new Map(rows);
}

function writePage(seen: ReadonlyMap<string, string>): void {
  const path = join(root, PAGE);
  const page = readFileSync(path, 'utf8');
  const rows = new Map([...rowsOf(page), ...seen]);
  const table = MUTANTS.map(({ name }) => `| ${name} | ${rows.get(name) ?? 'not tried yet'} |`);
  const start = page.indexOf('| planted');
  writeFileSync(
    path,
    `${page.slice(0, start)}${['| planted | noticed by |', '| --- | --- |', ...table, ''].join('\n')}`,
  );
  spawnSync('npx', ['biome', 'format', '--write', PAGE], { cwd: root });
}

const folder = mkdtempSync(join(tmpdir(), 'mesq-mutants-'));
cpSync(join(root, 'build'), join(folder, 'build'), { recursive: true });
cpSync(join(root, 'package.json'), join(folder, 'package.json'));
symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
const seen = new Map<string, string>();
for (const mutant of MUTANTS) {
  const { name, unnoticed } = mutant;
  if (words.length > 0 && !words.some((word) => name.includes(word))) continue;
  const tests = noticedBy(mutant, folder);
  const [first = unnoticed === undefined ? undefined : `nobody: ${unnoticed}`] = tests ?? [];
  if (tests === undefined || first === undefined) process.exitCode = 1;
  const more = tests !== undefined && tests.length > 1 ? ` (and ${tests.length - 1} more)` : '';
  const answer = `${tests === undefined ? 'DOES NOT FIT THE CODE' : (first ?? 'UNNOTICED')}${more}`;
  seen.set(name, answer.replaceAll('|', '/'));
  console.log(`${name}: ${answer}`);
  if (values.page) writePage(seen);
}
rmSync(folder, { recursive: true, force: true });
if (values.page) spawnSync('npx', ['biome', 'format', '--write', PAGE], { cwd: root });
