import type { ExecutionContext } from 'ava';
import { ArtifactError, type ArtifactReading, type ArtifactSource } from '../../io/artifact-source.ts';

/** A source, and whatever it reads from. */
export interface ArtifactSourceHarness {
  readonly source: ArtifactSource;
  /** Puts content where the source finds it. Returns its URI. */
  put(bytes: Uint8Array): Promise<string>;
  /** A URI that the source takes, and under which there is nothing. */
  missing(): Promise<string>;
  /** The next reading breaks off once about so many bytes of it were sent, as a link does; those after it do not. */
  breakAfter(bytes: number): Promise<void>;
  /** Puts other content under a URI. Absent where a URI is of one content for ever. */
  replace?(uri: string, bytes: Uint8Array): Promise<void>;
  /** Resolves once nothing is being read: no connection, timer or request of the source is left. */
  idle(): Promise<void>;
}

type Check = (t: ExecutionContext, harness: ArtifactSourceHarness) => Promise<void>;

const never = (): AbortSignal => new AbortController().signal;

/** Bytes that tell where they are from: no two places are alike for long. */
export function sampleBytes(length: number, salt = 0): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at++) bytes[at] = (at * 31 + (at >> 8) * 17 + (at >> 16) * 7 + salt) & 255;
  return bytes;
}

interface Read {
  readonly bytes: Buffer;
  readonly error: unknown;
}

async function drain(reading: ArtifactReading): Promise<Read> {
  const parts: Uint8Array[] = [];
  try {
    for await (const part of reading.bytes) parts.push(part);
  } catch (error) {
    return { bytes: Buffer.concat(parts), error };
  }
  return { bytes: Buffer.concat(parts), error: undefined };
}

async function refusal(reading: Promise<ArtifactReading>): Promise<unknown> {
  try {
    return await drain(await reading).then(({ error }) => error);
  } catch (error) {
    return error;
  }
}

const LONG = 700_001;

/** What every {@link ArtifactSource} promises. */
export const ARTIFACT_SOURCE_CHECKS: Readonly<Record<string, Check>> = {
  'reads the whole, and says how much it is': async (t, harness) => {
    const content = sampleBytes(LONG);
    const uri = await harness.put(content);
    t.true(harness.source.takes(uri));
    const reading = await harness.source.read(uri, 0, undefined, never());
    t.is(reading.from, 0);
    t.true(reading.size === undefined || reading.size === LONG);
    const { bytes, error } = await drain(reading);
    t.is(error, undefined);
    t.true(bytes.equals(content));
    await harness.idle();
  },

  'reads nothing where there is nothing in it': async (t, harness) => {
    const uri = await harness.put(new Uint8Array(0));
    const { bytes, error } = await drain(await harness.source.read(uri, 0, undefined, never()));
    t.is(error, undefined);
    t.is(bytes.length, 0);
  },

  'takes nothing that it cannot read': (t, { source }) => {
    for (const uri of ['ftp://host/file', 'file:///etc/passwd', '']) t.false(source.takes(uri));
    return Promise.resolve();
  },

  'goes on where an earlier reading ended, if that had a version': async (t, harness) => {
    const content = sampleBytes(LONG);
    const uri = await harness.put(content);
    const { version } = await harness.source.read(uri, 0, undefined, never()).then(async (reading) => {
      await drain(reading);
      return reading;
    });
    for (const from of [1, 65_536, LONG - 1]) {
      const reading = await harness.source.read(uri, from, version, never());
      t.true(reading.from === from || (version === undefined && reading.from === 0), `from ${from}`);
      t.true(reading.size === undefined || reading.size === LONG);
      const { bytes, error } = await drain(reading);
      t.is(error, undefined);
      t.true(bytes.equals(content.subarray(reading.from)));
    }
  },

  'asked for what is behind the end, it begins anew or has nothing to say': async (t, harness) => {
    const content = sampleBytes(1_000);
    const uri = await harness.put(content);
    const first = await harness.source.read(uri, 0, undefined, never());
    await drain(first);
    for (const from of [1_000, 5_000]) {
      const reading = await harness.source.read(uri, from, first.version, never());
      t.true(reading.from === 0 || (reading.from === from && from === 1_000), `from ${from}`);
      const { bytes, error } = await drain(reading);
      t.is(error, undefined);
      t.true(bytes.equals(content.subarray(reading.from)));
    }
  },

  'without a version nothing is known of what was read before: it begins anew': async (t, harness) => {
    const content = sampleBytes(5_000);
    const uri = await harness.put(content);
    const reading = await harness.source.read(uri, 2_000, undefined, never());
    const { bytes } = await drain(reading);
    t.true(bytes.equals(content.subarray(reading.from)));
  },

  'a reading that breaks off says so, what came is right, and it can be gone on with': async (t, harness) => {
    const content = sampleBytes(LONG, 3);
    const uri = await harness.put(content);
    await harness.breakAfter(200_000);
    const first = await harness.source.read(uri, 0, undefined, never());
    const broken = await drain(first);
    t.true(broken.error instanceof ArtifactError && broken.error.transient, String(broken.error));
    t.true(broken.bytes.length < LONG);
    t.true(broken.bytes.equals(content.subarray(0, broken.bytes.length)));
    const second = await harness.source.read(uri, broken.bytes.length, first.version, never());
    const rest = await drain(second);
    t.is(rest.error, undefined);
    t.true(Buffer.concat([broken.bytes.subarray(0, second.from), rest.bytes]).equals(content));
    await harness.idle();
  },

  'where there is nothing, another try will not help': async (t, harness) => {
    const error = await refusal(harness.source.read(await harness.missing(), 0, undefined, never()));
    t.true(error instanceof ArtifactError && !error.transient, String(error));
    t.not((error as ArtifactError).message, '');
    await harness.idle();
  },

  'content that was replaced is read from its beginning': async (t, harness) => {
    if (harness.replace === undefined) {
      t.pass('one content for ever');
      return;
    }
    const before = sampleBytes(3_000, 1);
    const after = sampleBytes(3_000, 2);
    const uri = await harness.put(before);
    const first = await harness.source.read(uri, 0, undefined, never());
    await drain(first);
    await harness.replace(uri, after);
    const second = await harness.source.read(uri, 1_500, first.version, never());
    t.is(second.from, 0);
    t.true(second.version === undefined || second.version !== first.version);
    const { bytes } = await drain(second);
    t.true(bytes.equals(after));
  },

  'withdrawn before it began, it rejects': async (t, harness) => {
    const uri = await harness.put(sampleBytes(1_000));
    const withdrawn = new AbortController();
    withdrawn.abort();
    t.not(await refusal(harness.source.read(uri, 0, undefined, withdrawn.signal)), undefined);
    await harness.idle();
  },

  'withdrawn in its middle, it ends by throwing': async (t, harness) => {
    const uri = await harness.put(sampleBytes(20_000_000));
    const withdrawn = new AbortController();
    const reading = await harness.source.read(uri, 0, undefined, withdrawn.signal);
    let got = 0;
    await t.throwsAsync(async () => {
      for await (const part of reading.bytes) {
        got += part.length;
        withdrawn.abort();
      }
    });
    t.true(got < 20_000_000);
    await harness.idle();
  },

  'a reader that has enough leaves nothing behind': async (t, harness) => {
    const uri = await harness.put(sampleBytes(20_000_000));
    const reading = await harness.source.read(uri, 0, undefined, never());
    for await (const part of reading.bytes) {
      t.true(part.length > 0);
      break;
    }
    await harness.idle();
  },

  'several read at once, the same and others': async (t, harness) => {
    const contents = [sampleBytes(300_000, 5), sampleBytes(200_000, 6)];
    const uris = await Promise.all(contents.map((content) => harness.put(content)));
    const jobs = [0, 1, 0, 1].map(async (which) => {
      const { bytes, error } = await drain(await harness.source.read(uris[which] ?? '', 0, undefined, never()));
      t.is(error, undefined);
      t.true(bytes.equals(contents[which] ?? new Uint8Array(0)));
    });
    await Promise.all(jobs);
    await harness.idle();
  },
};
