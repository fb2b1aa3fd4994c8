import test from 'ava';
import fc from 'fast-check';
import { CacheIndex } from '../../agent/artifacts/cache-index.ts';
import { evictions, type KeptFile } from '../../agent/artifacts/evictions.ts';
import { failed, firstTry, pauseMs, type Tries } from '../../agent/artifacts/retries.ts';
import { SYNC_BYTES, trustedBytes } from '../../agent/artifacts/trusted-bytes.ts';
import { diskWords, failureWords, progressWords } from '../../agent/artifacts/words.ts';
import { artifactContradiction, artifactPlace } from '../../protocol/artifact-place.ts';
import { TIMES } from '../../protocol/limits.ts';
import { shownUri } from '../../protocol/shown-uri.ts';

const HASH = (digit: string): string => digit.repeat(64);
const artifact = (uri: string, rest = {}) => ({ uri, extract: false, executable: false, ...rest });

const files = fc.uniqueArray(
  fc.record({ name: fc.string({ minLength: 1 }), bytes: fc.nat(1_000), used: fc.nat(1_000) }),
  { selector: ({ name }) => name },
);
const room = fc.record({
  wantedBytes: fc.nat(2_000),
  capBytes: fc.nat(4_000),
  freeBytes: fc.nat(4_000),
  reserveBytes: fc.nat(500),
});

test('what makes room is never needed, the oldest of the rest, no more than it takes, and enough if that is possible', (t) => {
  fc.assert(
    fc.property(files, room, fc.infiniteStream(fc.boolean()), (kept, space, chance) => {
      const needed = new Set(kept.filter(() => chance.next().value).map(({ name }) => name));
      const { remove, fits } = evictions(kept, needed, space);
      const sum = (some: readonly KeptFile[]): number => some.reduce((total, { bytes }) => total + bytes, 0);
      const [gone, left] = [
        kept.filter(({ name }) => remove.includes(name)),
        kept.filter(({ name }) => !remove.includes(name)),
      ];
      const others = left.filter(({ name }) => !needed.has(name));
      const enough = (freed: number): boolean =>
        sum(kept) - freed + space.wantedBytes <= space.capBytes &&
        space.freeBytes + freed - space.wantedBytes >= space.reserveBytes;
      t.true(remove.every((name) => !needed.has(name)));
      t.true(gone.every((one) => others.every((other) => one.used <= other.used)));
      t.is(fits, space.freeBytes + sum(gone) - space.wantedBytes >= space.reserveBytes);
      t.true(enough(sum(gone)) || others.length === 0);
      const last = kept.find(({ name }) => name === remove.at(-1));
      if (last !== undefined) t.false(enough(sum(gone) - last.bytes));
    }),
  );
});

/** Fails whenever it is tried, until it is given up: when that is, and after how many tries. */
function hopeless(
  alone: (atMs: number) => boolean,
  takesMs: number,
): { atMs: number; tries: number; pauses: number[] } {
  let tries: Tries = firstTry(0);
  const pauses: number[] = [];
  for (let atMs = 0; ; ) {
    atMs += takesMs;
    tries = failed(tries, atMs, alone(atMs));
    const pause = pauseMs(tries);
    if (pause === undefined) return { atMs, tries: tries.failures, pauses };
    pauses.push(pause);
    atMs += pause;
  }
}

test('tries are twice as far apart each time, and end: soon in contact with a master, late without', (t) => {
  const { atMs, tries, pauses } = hopeless(() => false, 0);
  t.deepEqual(pauses.slice(0, 8), [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
  t.true(atMs >= TIMES.artifactPatienceMs && tries < 20);
  const alone = hopeless(() => true, 30_000);
  t.true(alone.atMs >= TIMES.artifactPatienceAloneMs && alone.atMs < TIMES.artifactPatienceAloneMs + 120_000);
});

test('a link that was down for hours takes nothing from the patience with a server', (t) => {
  const hours = 5 * 3_600_000;
  const { atMs } = hopeless((now) => now < hours, 0);
  t.true(atMs >= hours + TIMES.artifactPatienceMs - TIMES.artifactRetryMaxMs);
});

test('after a power cut no byte is believed that may not have reached the disk', (t) => {
  fc.assert(
    fc.property(fc.nat(100 * SYNC_BYTES), (length) => {
      const trusted = trustedBytes(length, false);
      // What was made durable before the last byte that is there was written.
      const durable = length === 0 ? 0 : Math.floor((length - 1) / SYNC_BYTES) * SYNC_BYTES;
      t.true(trusted <= durable && trusted >= 0 && length - trusted <= SYNC_BYTES);
      t.is(trustedBytes(length, true), length);
    }),
  );
  t.is(trustedBytes(SYNC_BYTES, false), 0);
  t.is(trustedBytes(SYNC_BYTES + 1, false), SYNC_BYTES);
});

test('a run has the same content at each restart, others what is known by what it holds', (t) => {
  const index = new CacheIndex();
  const plain = artifact('http://h/a');
  index.add(HASH('1'), 10, plain.uri, '"v1"');
  index.take('r1', 0, HASH('1'), false);
  t.is(index.find('r1', 0, plain), HASH('1'));
  t.is(index.find('r2', 0, plain), undefined);
  t.is(index.candidate(plain), undefined);
  t.deepEqual(index.candidate(artifact('http://h/a', { cache: true })), { version: '"v1"', name: HASH('1') });
  t.is(index.find('r2', 0, artifact('http://other/b', { sha256: HASH('1') })), HASH('1'));
  const blob = artifact(`blob:${HASH('b')}`);
  index.add(HASH('2'), 10, blob.uri, undefined);
  t.is(index.find('r2', 0, blob), HASH('2'));
  index.add(HASH('3'), 10, plain.uri, '"v2"');
  t.is(index.find('r1', 0, plain), HASH('1'));
});

test('what only ended runs had, and nobody may have later, is to be removed', (t) => {
  const index = new CacheIndex();
  for (const [digit, shared] of [
    ['1', false],
    ['2', true],
  ] as const) {
    index.add(HASH(digit), 10, `http://h/${digit}`, undefined);
    index.take('r1', Number(digit), HASH(digit), shared);
    index.take('r2', Number(digit), HASH(digit), shared);
  }
  t.deepEqual(index.release('r1'), []);
  t.deepEqual(index.release('r2'), [HASH('1')]);
  t.deepEqual([...index.held()], []);
});

test('an index is the same after it was on the disk; what is none is told', (t) => {
  const index = new CacheIndex();
  index.add(HASH('1'), 10, 'http://h/a', '"v"');
  index.take('r', 2, HASH('1'), true);
  t.is(CacheIndex.parse(index.format())?.format(), index.format());
  for (const text of [
    '',
    '{',
    '[]',
    '{"v":2}',
    '{"v":1,"files":[{"name":"../x","bytes":1,"used":1,"shared":true}],"uris":[],"runs":[]}',
  ])
    t.is(CacheIndex.parse(text), undefined, text);
});

test('where an artifact is put', (t) => {
  const places: Record<string, string | undefined> = {};
  for (const uri of [
    'http://h/a/b.txt?x=/y',
    'https://h/a%20b',
    'http://h',
    'http://h/',
    'http://h/..',
    'http://h/%2e%2e',
    'http://h/a%2Fb',
    'http://h/%00',
    'http://h/%zz',
    `blob:${HASH('a')}`,
  ])
    places[uri] = artifactPlace(artifact(uri));
  t.deepEqual(places, {
    'http://h/a/b.txt?x=/y': 'b.txt',
    'https://h/a%20b': 'a b',
    'http://h': undefined,
    'http://h/': undefined,
    'http://h/..': undefined,
    'http://h/%2e%2e': undefined,
    'http://h/a%2Fb': undefined,
    'http://h/%00': undefined,
    'http://h/%zz': '%zz',
    [`blob:${HASH('a')}`]: undefined,
  });
  t.is(artifactPlace(artifact('http://h/a', { path: './x//y/' })), 'x/y');
  t.is(artifactPlace(artifact('http://h/a.tar', { extract: true })), '');
});

test('artifacts that are in each other’s way contradict', (t) => {
  const wrong = (...written: Parameters<typeof artifact>[]) =>
    artifactContradiction(written.map(([uri, rest]) => artifact(uri, rest)));
  t.is(wrong(['http://h/a'], ['http://h/b'], ['http://h/c.tar', { extract: true }]), undefined);
  t.regex(wrong(['http://h/a'], ['http://g/a']) ?? '', /another at a/);
  t.regex(wrong(['http://h/a'], ['http://h/b', { path: 'a/b' }]) ?? '', /below another/);
  t.regex(wrong(['http://h/']) ?? '', /give it a path/);
  t.regex(wrong(['http://h/c.tar', { extract: true, executable: true }]) ?? '', /executable/);
});

test('no secret of an address is shown', (t) => {
  t.is(shownUri('https://me:se@cret@h:8/a?sig=1#x'), 'https://h:8/a?…');
  t.is(shownUri('http://h/a@b'), 'http://h/a@b');
  t.is(
    shownUri(`blob:${HASH('a')}`),
    `blob:${HASH('a').slice(0, 12)}…`,
    'whoever has the name may read what was uploaded',
  );
  t.true(shownUri(`http://h/${'x'.repeat(2_000)}`).length <= 160);
  t.notRegex(failureWords('https://me:pw@h/a?token=t', 'it broke'), /pw|token/);
});

test('words for whoever waits', (t) => {
  t.is(progressWords([]), undefined);
  const MB = 1_048_576;
  const one = { uri: 'http://me:pw@h/a', bytes: 12 * MB, size: 40 * MB };
  t.is(progressWords([one]), 'fetching http://h/a: 12 of 40 MB, 30 %');
  t.is(
    progressWords([one, { uri: 'http://h/b', bytes: MB, size: undefined, trouble: 'nobody listens there' }]),
    'fetching http://h/b: 1 MB, and 1 more; nobody listens there',
  );
});

test('a program that was replaced while it ran is told from a disk that failed', (t) => {
  t.is(diskWords('EIO'), 'the disk of this agent failed: EIO');
  t.is(diskWords('ENOSPC'), 'the disk of this agent has no room for it');
  t.regex(diskWords('ERR_MODULE_NOT_FOUND'), /^the program of this agent was replaced while it ran: .* restarted/);
});
