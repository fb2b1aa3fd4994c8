import test from 'ava';
import type { Bus } from '../../io/bus.ts';
import { systemDigest } from '../../io/node/digest.ts';
import { type Block, manifestOf } from '../../protocol/blob.ts';
import { CLIENT_BULK, UPLOADS } from '../../protocol/blob-link.ts';
import { read, write } from '../../protocol/envelope.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { uploadBlob } from '../../sdk/blob-upload.ts';
import { Fault, type UploadSource } from '../../sdk/index.ts';
import { VirtualClock } from '../sim/clock.ts';

const REQUEST_MS = 10_000;

function sourceOf(count: number): UploadSource {
  const content = Array.from({ length: count }, (_, at) => new Uint8Array(LIMITS.chunkBytes).fill(at + 1));
  const blocks = content.map((bytes): Block => ({ hash: systemDigest.sha256(bytes), size: bytes.length }));
  const manifest = manifestOf(blocks, systemDigest.sha256);
  if (manifest instanceof Fault) throw new Error(manifest.message);
  return { manifest, blocks, read: (at) => Promise.resolve(content[at] ?? new Uint8Array()) };
}

/** A leader behind a link of so many bytes a second, which carries one after the other. */
function slowLeader(clock: VirtualClock, rate: number) {
  const stored = new Set<string>();
  const sent: number[] = [];
  let freeMs = 0;
  let hear: (payload: Uint8Array) => void = () => undefined;
  const carry = (bytes: number): Promise<void> => {
    freeMs = Math.max(freeMs, clock.monotonic()) + (bytes * 1_000) / rate;
    return new Promise((resolve) => clock.after(freeMs - clock.monotonic(), resolve));
  };
  const asked = <Answer>(bytes: number, answer: () => Answer): Promise<Answer | Fault> =>
    Promise.race([
      carry(bytes).then(answer),
      new Promise<Fault>((resolve) => clock.after(REQUEST_MS, () => resolve(new Fault('TIMED_OUT', 'no answer')))),
    ]);
  const bus = {
    subscribe: (_topic: string, _qos: number, handler: (message: { payload: Uint8Array }) => void) => {
      hear = (payload) => handler({ payload });
      return Promise.resolve(() => undefined);
    },
    publish: async (_topic: string, payload: Uint8Array) => {
      sent.push(payload.length);
      await carry(payload.length);
      const taken = read(UPLOADS, payload);
      if (taken instanceof Fault) throw new Error(taken.message);
      const block = systemDigest.sha256(taken.message.data);
      stored.add(block);
      hear(write(CLIENT_BULK, { type: 'STORED', block }));
    },
  } as unknown as Bus;
  const all = (source: UploadSource): string[] => [source.manifest.blob, ...source.blocks.map(({ hash }) => hash)];
  const link = (source: UploadSource) => ({
    ...{ bus, clock, prefix: 'mesq', name: 'ann', session: 's' },
    missing: ({ blocks }: { blocks: readonly string[] }) =>
      asked(blocks.length * 70, () => ({
        missing: blocks.flatMap((hash, at) => (stored.has(hash) ? [] : [at])),
        window: LIMITS.uploadWindow,
      })),
    complete: () =>
      asked(200, () => ({
        state: all(source).every((hash) => stored.has(hash)) ? ('complete' as const) : ('incomplete' as const),
        masters: ['m1'],
      })),
  });
  return { link, sent };
}

for (const [name, rate] of [
  ['256 kbit/s', 32_000],
  ['32 kbit/s', 4_000],
  ['8 kbit/s', 1_000],
  ['2 kbit/s', 250],
] as const)
  test(`over a link of ${name} it takes its time, and nothing is sent twice`, async (t) => {
    const clock = new VirtualClock();
    const { link, sent } = slowLeader(clock, rate);
    const source = sourceOf(40);
    const ended = uploadBlob(link(source), source);
    let answer: unknown;
    void ended.then((end) => {
      answer = end;
    });
    for (let hours = 0; hours < 100 && answer === undefined; hours++) await clock.advance(60_000);
    t.is(answer instanceof Fault ? answer.message : undefined, undefined);
    t.like(answer, { done: source.manifest.size });
    const bytes = sent.reduce((sum, one) => sum + one, 0);
    t.true(bytes < 43 * (LIMITS.chunkBytes + 100), `${bytes} bytes for 40 blocks`);
  });
