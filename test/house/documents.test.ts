import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'ava';
import { read } from '../../protocol/envelope.ts';
import { Fault } from '../../protocol/faults.ts';
import { CALLS, EVENTS } from '../../protocol/scheduler.ts';
import { generatedPages } from '../../tools/docs.ts';

const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { encoding: 'utf8' })
  .split('\n')
  .filter((path) => path !== '' && existsSync(path));
const pages = files.filter((path) => path.endsWith('.md'));

for (const [path, text] of Object.entries(await generatedPages())) {
  test(`${path} is what the code's table says (node build/tools/docs.js writes it)`, (t) => {
    t.is(readFileSync(path, 'utf8'), text);
  });
}

test('every link between the documents leads somewhere', (t) => {
  const broken = pages.flatMap((page) =>
    [...readFileSync(page, 'utf8').matchAll(/\]\((?!https?:|mailto:)([^)#\s]+)(?:#[^)]*)?\)/g)]
      .map(([, target = '']) => target)
      .filter((target) => !existsSync(join(dirname(page), target)))
      .map((target) => `${page} → ${target}`),
  );
  t.deepEqual(broken, []);
});

test('every file and decision that a document or a comment names is there', (t) => {
  const name =
    /(?<![\w/.@-])((?:protocol|io|broker|master|agent|firmware-adapters|sdk|frameworks|cli|examples|docs|test|bench|tools)\/[\w./-]+\.(?:ts|md|mjs|grit)|docs\/decisions\/\d{4})/g;
  const sources = files.filter((path) => /\.(ts|md|mjs)$/.test(path) && !path.startsWith('test/house/'));
  const missing = sources.flatMap((source) =>
    [...readFileSync(source, 'utf8').matchAll(name)]
      .map(([, target = '']) => target)
      .filter((target) => !files.some((path) => path === target || path.startsWith(`${target}-`)))
      .map((target) => `${source} → ${target}`),
  );
  t.deepEqual(missing, []);
});

test('decisions are numbered once each, and dated', (t) => {
  const decisions = files.filter((path) => path.startsWith('docs/decisions/'));
  const numbers = decisions.map((path) => /(\d{4})-[a-z0-9-]+\.md$/.exec(path)?.[1]);
  t.is(new Set(numbers).size, decisions.length);
  for (const path of decisions) t.regex(readFileSync(path, 'utf8'), /^# \d{4} .+\n\n\d{4}-\d{2}-\d{2}\n/, path);
});

test('every folder of the house is on the map', (t) => {
  const map = readFileSync('ARCHITECTURE.md', 'utf8');
  const folders = new Set(
    files.filter((path) => path.includes('/') && !path.startsWith('.')).map((path) => `${path.split('/')[0]}/`),
  );
  for (const folder of folders) t.true(map.includes(folder), folder);
});

test('every message that the pages about schedulers show is one', (t) => {
  const pages = ['writing-a-scheduler', 'reservations-and-volumes', 'maintenance'];
  const text = pages.map((page) => readFileSync(`docs/${page}.md`, 'utf8')).join('\n');
  const shown = [...text.matchAll(/```jsonl\n([^`]*)```/g)].flatMap(([, block = '']) => block.trim().split('\n'));
  const seen = new Set<string>();
  for (const line of shown) {
    const bytes = new TextEncoder().encode(line);
    const said = read(CALLS, bytes);
    const heard = read(EVENTS, bytes);
    const message = said instanceof Fault ? heard : said;
    if (message instanceof Fault) t.fail(`${line}: ${message.message}`);
    else seen.add(message.message.type);
  }
  t.true(seen.size >= 22, [...seen].join(' '));
});
