import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';

/** A file that must not pass, and the rule that stops it. */
type Violation = readonly [path: string, text: string, rule: string];

const IMPORT = 'lint/style/noRestrictedImports';
const PURE = 'plugin';
const GLOBAL = 'lint/style/noRestrictedGlobals';

const ROOMS = [
  'protocol',
  'io',
  'broker',
  'master',
  'agent',
  'firmware-adapters',
  'sdk',
  'frameworks',
  'cli',
  'dashboard',
  'examples',
  'test',
  'bench',
  'tools',
] as const;

/** Who may import whom (ARCHITECTURE.md, "The import rule"), written a second time so that neither can drift alone. */
const MAY: Readonly<Record<string, readonly string[]>> = {
  'protocol/x.ts': [],
  'io/x.ts': [],
  'io/node/x.ts': ['io'],
  'broker/x.ts': ['io'],
  'broker/access/x.ts': [],
  'master/x.ts': ['protocol', 'io'],
  'master/registry/x.ts': ['protocol'],
  'master/raft/x.ts': ['protocol'],
  'master/allocator/x.ts': ['protocol'],
  'master/offers/x.ts': ['protocol'],
  'master/tasks/x.ts': ['protocol'],
  'master/liveness/x.ts': ['protocol'],
  'agent/x.ts': ['protocol', 'io', 'firmware-adapters'],
  'agent/tasks/x.ts': ['protocol'],
  'agent/updates/x.ts': ['protocol'],
  'agent/checkpoint/x.ts': ['protocol'],
  'agent/devices/x.ts': ['protocol'],
  'agent/health/x.ts': ['protocol'],
  'agent/reporting/x.ts': ['protocol', 'io', 'firmware-adapters'],
  'agent/executors/x.ts': ['protocol', 'io', 'firmware-adapters'],
  'firmware-adapters/x.ts': ['protocol', 'io'],
  'firmware-adapters/linux/x.ts': ['protocol', 'io'],
  'firmware-adapters/tasmota/x.ts': ['protocol', 'io'],
  'firmware-adapters/esphome/x.ts': ['protocol', 'io'],
  'sdk/x.ts': ['protocol', 'io'],
  'frameworks/batch/x.ts': ['sdk', 'protocol'],
  'cli/x.ts': ['sdk', 'protocol'],
};

/** Files that compose, or that stand outside the house: they may import everything. */
const COMPOSERS = [
  'cli/start-x.ts',
  'cli/main.ts',
  'sdk/node.ts',
  'tools/x.ts',
  'bench/x.ts',
  'test/x.ts',
  'examples/x/x.ts',
];

function room(path: string): string {
  return path.split('/')[0] ?? '';
}

function importing(path: string, target: string): string {
  const levels = path.split('/').length - 1;
  const up = path.startsWith('io/node/') && target === 'io' ? '../' : `${'../'.repeat(levels)}${target}/`;
  return `import { y } from '${up}y.ts';\nexport const z = y;\n`;
}

function forbiddenImports(): Violation[] {
  return Object.entries(MAY).flatMap(([path, may]) => {
    const others = ROOMS.filter((target) => target !== room(path) && !may.includes(target));
    const outside = [...others, ...(path.startsWith('io/node/') ? [] : ['io/node'])];
    const rows = outside.map((target): Violation => [named(path, target), importing(path, target), IMPORT]);
    const node: Violation = [
      named(path, 'fs'),
      "import { readFileSync } from 'node:fs';\nexport const z = readFileSync;\n",
      IMPORT,
    ];
    return path.startsWith('io/node/') ? rows : [...rows, node];
  });
}

function allowedImports(): [string, string][] {
  const rows = Object.entries(MAY).flatMap(([path, may]) =>
    may.map((target): [string, string] => [named(path, `may-${target}`), importing(path, target)]),
  );
  const composing = COMPOSERS.flatMap((path) =>
    ROOMS.filter((target) => target !== room(path)).map((target): [string, string] => {
      const where = path.endsWith('main.ts') ? path : named(path, `may-${target}`);
      return [where, importing(path, target)];
    }),
  );
  return [...rows, ...composing];
}

function named(path: string, why: string): string {
  return path.replace(/x\.ts$/, `x-${why.replaceAll('/', '-')}.ts`);
}

const CORES = Object.keys(MAY).filter(
  (path) =>
    path.startsWith('protocol/') ||
    /^(master|broker)\/\w+\//.test(path) ||
    /^agent\/(tasks|updates|checkpoint)\//.test(path) ||
    /^firmware-adapters\/(tasmota|esphome)\//.test(path),
);

function impure(): Violation[] {
  return CORES.flatMap((path): Violation[] => [
    [named(path, 'now'), 'export const z = Date.now();\n', PURE],
    [named(path, 'date'), 'export const z = new Date();\n', PURE],
    [named(path, 'chance'), 'export const z = Math.random();\n', PURE],
    [named(path, 'await'), 'export async function z(x: Promise<void>): Promise<void> {\n  await x;\n}\n', PURE],
    [named(path, 'timer'), 'export const z = setTimeout;\n', GLOBAL],
    [named(path, 'process'), 'export const z = process.pid;\n', GLOBAL],
    [named(path, 'console'), "console.log('');\n", GLOBAL],
  ]);
}

const HABITS: readonly Violation[] = [
  ['master/x-any.ts', 'export const z = (x: any): unknown => x;\n', 'lint/suspicious/noExplicitAny'],
  ['master/x-bang.ts', 'export const z = (x?: string): string => x!;\n', 'lint/style/noNonNullAssertion'],
  ['master/x-default.ts', 'export default 1;\n', 'lint/style/noDefaultExport'],
  ['master/x-barrel.ts', "export { q } from './x-cycle-a.ts';\n", 'lint/performance/noBarrelFile'],
  [
    'master/x-cycle-a.ts',
    "import { r } from './x-cycle-b.ts';\nexport const q = (): unknown => r;\n",
    'lint/suspicious/noImportCycles',
  ],
  [
    'master/x-cycle-b.ts',
    "import { q } from './x-cycle-a.ts';\nexport const r = (): unknown => q;\n",
    'lint/suspicious/noImportCycles',
  ],
  ['master/XName.ts', 'export const z = 1;\n', 'lint/style/useFilenamingConvention'],
  [
    'master/x-floating.ts',
    'async function g(x: Promise<void>): Promise<void> {\n  await x;\n}\nexport function z(x: Promise<void>): void {\n  g(x);\n}\n',
    'lint/nursery/noFloatingPromises',
  ],
  [
    'master/x-switch.ts',
    "export function z(x: 'a' | 'b'): number {\n  switch (x) {\n    case 'a':\n      return 1;\n  }\n  return 0;\n}\n",
    'lint/nursery/useExhaustiveSwitchCases',
  ],
];

interface Report {
  readonly diagnostics: readonly { readonly category: string; readonly location: { readonly path: string } }[];
}

/** What the linter says about these files under the project's own rules: path → rules. */
async function lint(
  files: readonly (readonly [path: string, text: string, ...rest: string[]])[],
): Promise<Map<string, Set<string>>> {
  const root = await mkdtemp(join(tmpdir(), 'mesq-walls-'));
  try {
    const rules = JSON.parse(await readFile('biome.json', 'utf8'));
    await writeFile(join(root, 'biome.json'), JSON.stringify({ ...rules, vcs: { enabled: false } }));
    await mkdir(join(root, 'tools'));
    await cp('tools/pure.grit', join(root, 'tools/pure.grit'));
    for (const [path, text] of files) {
      await mkdir(join(root, dirname(path)), { recursive: true });
      await writeFile(join(root, path), text);
    }
    const biome = resolve('node_modules/.bin/biome');
    const options = { cwd: root, maxBuffer: 1 << 26 };
    const { stdout } = await promisify(execFile)(
      biome,
      ['lint', '--reporter=json', '--max-diagnostics=none', '.'],
      options,
    ).catch((error: { stdout: string }) => error);
    const found = new Map<string, Set<string>>();
    for (const { category, location } of (JSON.parse(stdout) as Report).diagnostics) {
      found.set(location.path, (found.get(location.path) ?? new Set()).add(category));
    }
    return found;
  } finally {
    await rm(root, { recursive: true });
  }
}

test('the linter stops every import, impurity and habit that the house forbids', async (t) => {
  const violations = [...forbiddenImports(), ...impure(), ...HABITS];
  const found = await lint(violations);
  const passed = violations.filter(([path, , rule]) => found.get(path)?.has(rule) !== true);
  t.deepEqual(
    passed.map(([path, , rule]) => `${path} passed ${rule}`),
    [],
  );
  t.true(violations.length > 250);
});

test('the linter lets through every import that the house allows', async (t) => {
  const allowed = allowedImports();
  const found = await lint(allowed);
  const stopped = allowed.filter(([path]) => found.get(path)?.has(IMPORT) === true);
  t.deepEqual(
    stopped.map(([path]) => path),
    [],
  );
  t.true(allowed.length > 50);
});
