import test from 'ava';
import { BlobSource } from '../../agent/blob-source.ts';
import { ArtifactError } from '../../io/artifact-source.ts';
import type { Clock } from '../../io/clock.ts';
import { systemClock } from '../../io/node/clock.ts';
import { systemDigest } from '../../io/node/digest.ts';
import { type Block, blobUri, manifestOf } from '../../protocol/blob.ts';
import { AGENT_BLOCKS } from '../../protocol/blob-link.ts';
import { type Outgoing, write } from '../../protocol/envelope.ts';
import { Fault } from '../../protocol/faults.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { TestBroker } from '../../sdk/index.ts';
import { ARTIFACT_SOURCE_CHECKS, sampleBytes } from '../conformance/artifact-source.ts';
import { VirtualClock } from '../sim/virtual-clock.ts';

/** Masters as the agent meets them: blocks by hash, and whatever goes wrong. */
class ScriptedMasters {
  readonly blocks = new Map<string, Uint8Array>();
  readonly source: BlobSource;
  asked = 0;
  underway = 0;
  mostUnderway = 0;
  /** Says what comes instead of a block; undefined: the block itself, null: nothing. */
  instead: (hash: string) => Partial<Outgoing<typeof AGENT_BLOCKS>> | null | undefined = () => undefined;
  readonly #timers = new Set<object>();
  readonly #answer: (message: Outgoing<typeof AGENT_BLOCKS>) => void;

  constructor(clock: Clock) {
    const broker = new TestBroker(clock);
    const [master, agent] = [broker.connect(), broker.connect()];
    const counted: Clock = {
      monotonic: () => clock.monotonic(),
      wall: () => clock.wall(),
      after: (ms, callback) => {
        const key = {};
        this.#timers.add(key);
        const timer = clock.after(ms, () => {
          this.#timers.delete(key);
          callback();
        });
        return {
          cancel: () => {
            this.#timers.delete(key);
            timer.cancel();
          },
        };
      },
    };
    this.#answer = (message) => void master.publish('mesq/agents/pi/blocks', write(AGENT_BLOCKS, message), { qos: 1 });
    this.source = new BlobSource({
      clock: counted,
      digest: systemDigest,
      listen: (handler) => agent.subscribe('mesq/agents/pi/blocks', 1, ({ payload }) => handler(payload)),
      ask: (_blob, hashes) => {
        for (const block of hashes) this.#asked(block);
      },
    });
  }

  get timers(): number {
    return this.#timers.size;
  }

  put(bytes: Uint8Array): string {
    const blocks: Block[] = [];
    for (let at = 0; at < bytes.length; at += LIMITS.chunkBytes) {
      const block = bytes.slice(at, at + LIMITS.chunkBytes);
      const hash = systemDigest.sha256(block);
      this.blocks.set(hash, block);
      blocks.push({ hash, size: block.length });
    }
    const manifest = manifestOf(blocks, systemDigest.sha256);
    if (manifest instanceof Fault) throw new Error(manifest.message);
    for (const list of [manifest.root, ...manifest.lists]) this.blocks.set(systemDigest.sha256(list), list);
    return blobUri(manifest.blob);
  }

  #asked(block: string): void {
    this.asked++;
    this.underway++;
    this.mostUnderway = Math.max(this.mostUnderway, this.underway);
    setImmediate(() => {
      this.underway--;
      const instead = this.instead(block);
      if (instead === null) return;
      const data = this.blocks.get(block);
      const fault = new Fault('NOT_ALLOWED', 'no live task names it');
      const message = {
        type: 'BLOCK',
        block,
        ...(data === undefined ? { fault } : { data: new Uint8Array(data) }),
      } as const;
      this.#answer({ ...message, ...instead });
    });
  }
}

for (const [name, check] of Object.entries(ARTIFACT_SOURCE_CHECKS)) {
  test(`from the masters: ${name}`, async (t) => {
    const masters = new ScriptedMasters(systemClock);
    await check(t, {
      source: masters.source,
      put: (bytes) => Promise.resolve(masters.put(bytes)),
      missing: () => Promise.resolve(blobUri('0'.repeat(64))),
      breakAfter: (bytes) => {
        let left = Math.ceil(bytes / LIMITS.chunkBytes);
        masters.instead = () => {
          if (left-- > 0) return undefined;
          masters.instead = () => undefined;
          return { data: undefined, fault: new Fault('NOT_FOUND', 'no master that is reached has it') };
        };
        return Promise.resolve();
      },
      idle: async () => {
        while (masters.timers > 0) await new Promise(setImmediate);
      },
    });
  });
}

async function readAll(masters: ScriptedMasters, uri: string): Promise<Buffer> {
  const { signal } = new AbortController();
  const parts: Uint8Array[] = [];
  const reading = await masters.source.read(uri, 0, undefined, signal);
  for await (const part of reading.bytes) parts.push(part);
  return Buffer.concat(parts);
}

test('a block that is not what it is said to be is not taken, and asked for again; one that is lost, too', async (t) => {
  const clock = new VirtualClock();
  const masters = new ScriptedMasters(clock);
  const content = sampleBytes(200_000);
  const uri = masters.put(content);
  const spoiled = new Set<string>();
  masters.instead = (hash) => {
    if (spoiled.has(hash)) return undefined;
    spoiled.add(hash);
    return spoiled.size % 2 === 0 ? null : { data: Uint8Array.of(1, 2, 3) };
  };
  let ended = false;
  const reading = readAll(masters, uri).finally(() => {
    ended = true;
  });
  while (!ended) {
    await new Promise(setImmediate);
    clock.step();
  }
  t.true((await reading).equals(content));
  t.is(masters.asked, 2 * spoiled.size);
  t.true(clock.monotonic() <= spoiled.size * 5_000, 'a loss is no slow link: the next one is not waited for longer');
});

test('no more blocks are on their way than may lie before a command, whoever reads', async (t) => {
  const masters = new ScriptedMasters(systemClock);
  const uris = [1, 2, 3].map((salt) => masters.put(sampleBytes(300_000, salt)));
  await Promise.all(uris.map((uri) => readAll(masters, uri)));
  t.is(masters.mostUnderway, LIMITS.blockWindow);
});

test('without any master for long it gives up for now', async (t) => {
  const clock = new VirtualClock();
  const masters = new ScriptedMasters(clock);
  const uri = masters.put(sampleBytes(100));
  masters.instead = () => null;
  let error: unknown;
  readAll(masters, uri).catch((caught: unknown) => {
    error = caught;
  });
  while (error === undefined) {
    await new Promise(setImmediate);
    clock.step();
  }
  t.true(error instanceof ArtifactError && error.transient);
});

test('over a link of 8 kbit/s blocks take half a minute each, and hardly one comes twice', async (t) => {
  const clock = new VirtualClock();
  const bytes = sampleBytes(20 * LIMITS.chunkBytes);
  const kept = new ScriptedMasters(clock);
  const uri = kept.put(bytes);
  let hear: (payload: Uint8Array) => void = () => undefined;
  let carried = 0;
  let freeMs = 0;
  const source = new BlobSource({
    ...{ clock, digest: systemDigest },
    listen: (handler) => {
      hear = handler;
      return Promise.resolve();
    },
    ask: (_blob, hashes) => {
      for (const block of hashes) {
        const data = new Uint8Array(kept.blocks.get(block) ?? new Uint8Array());
        carried += data.length;
        freeMs = Math.max(freeMs, clock.monotonic()) + data.length;
        clock.after(freeMs - clock.monotonic(), () => hear(write(AGENT_BLOCKS, { type: 'BLOCK', block, data })));
      }
    },
  });
  let got = 0;
  let ended: unknown = 'not yet';
  const readAll = async (): Promise<void> => {
    const reading = await source.read(uri, 0, undefined, new AbortController().signal);
    for await (const piece of reading.bytes) got += piece.length;
  };
  void readAll().then(
    () => {
      ended = undefined;
    },
    (error: unknown) => {
      ended = error;
    },
  );
  for (let steps = 0; steps < 10_000 && ended === 'not yet'; steps++) {
    await new Promise(setImmediate);
    clock.step();
  }
  t.is(ended, undefined);
  t.is(got, bytes.length);
  t.true(carried < 1.3 * bytes.length, `${carried} bytes for ${bytes.length}`);
});
