import { encode } from './envelope.ts';
import { LIMITS } from './limits.ts';

/**
 * The version of the dictionary below: it is another one with every byte of {@link SAMPLES} that changes, and with every
 * other encoding of them. Both sides must have the same.
 */
export const PACKING = 1;

/**
 * The first byte of a packed message: raw DEFLATE (RFC 1951) of its CBOR follows, made with {@link packingDictionary}. No CBOR
 * map begins so, and no JSON.
 */
const PACKED = 0x01;

/** Whom the two sides speak of all the time. Of one registration, which both know. */
export interface PackingFacts {
  readonly cluster: string;
  readonly agent: string;
  readonly boot: string;
}

/** What does it: `MessagePacking` of io/. */
export interface Packs {
  readonly pack: (bytes: Uint8Array, dictionary: Uint8Array) => Uint8Array;
  readonly unpack: (bytes: Uint8Array, dictionary: Uint8Array, most: number) => Uint8Array | undefined;
}

const KEY = { framework: 'batch', task: '.0', attempt: 0 };
const AT = { boot: '', monotonicMs: 1_000_000, wallMs: 1_800_000_000_000 };
const FENCE = { v: 1, cluster: '', generation: 1, term: 1, index: 256, epoch: 256 };

/** Messages as they are said most often; what is last is found at the least cost. */
const SAMPLES: readonly object[] = [
  { ...FENCE, type: 'KILL', tasks: [{ ...KEY, graceMs: 10_000, tell: true }] },
  { ...FENCE, type: 'RECONCILE', request: '' },
  {
    ...{ v: 1, type: 'READ', framework: 'batch', task: '.0', stream: 'stderr', from: 0, until: 262_144, follow: false },
    ...{ request: '', client: 'operator', session: '', attempt: 0, deflate: true, brotli: true },
  },
  {
    v: 1,
    type: 'REPORT',
    epoch: 256,
    resources: [{ name: 'gpus', scalar: 1_000 }],
    attributes: [{ name: '', text: '' }],
  },
  { v: 1, type: 'REFUSED', fault: { code: 'NOT_REGISTERED', message: '', hint: '' }, register: true },
  { v: 1, type: 'RENEW', epoch: 256, keepAliveMs: 3_600_000 },
  {
    ...FENCE,
    type: 'RUN',
    tasks: [
      {
        framework: 'batch',
        info: {
          task: '.0',
          attempt: 0,
          argv: ['sh', '-c'],
          environment: { MESQ_JOB: '', MESQ_TASK_INDEX: '0', MESQ_TASK_COUNT: '1' },
          resources: [
            { name: 'cpus', scalar: 100 },
            { name: 'mem', scalar: 125 },
          ],
          restart: 'never',
          killGraceMs: 3_000,
        },
      },
    ],
  },
  { v: 1, type: 'ACCEPTED', epoch: 256, tasks: [KEY], refused: [] },
  {
    ...{ v: 1, type: 'UPDATE', epoch: 256 },
    updates: [
      { ...KEY, restart: 0, uuid: '', sequence: 1, state: 'TASK_RUNNING', at: AT },
      {
        ...KEY,
        restart: 0,
        uuid: '',
        sequence: 2,
        state: 'TASK_FAILED',
        reason: 'COMMAND_FAILED',
        exitCode: 1,
        at: AT,
      },
      {
        ...{ ...KEY, restart: 0, uuid: '', sequence: 2, state: 'TASK_FINISHED', exitCode: 0 },
        ...{ output: { stdout: 0, stderr: 0 }, at: AT },
      },
    ],
  },
  { ...FENCE, type: 'ACKNOWLEDGE', updates: ['', ''] },
  {
    ...FENCE,
    type: 'RESUMED',
    agent: '',
    brief: true,
    opens: true,
    packs: PACKING,
    keepAliveMs: 3_600_000,
  },
  {
    ...{ v: 1, type: 'RESUME', agent: '', epoch: 256, incarnation: '', session: 1 },
    ...{ cluster: { uuid: '', generation: 1 }, reported: '', digest: '0-0-0', keepAliveMs: 3_600_000 },
  },
];

const ENCODED = SAMPLES.map((sample) => encode(sample, 'cbor'));

/** What a message is likely to hold: the words of the protocol, and whom they are about. */
export function packingDictionary({ cluster, agent, boot }: PackingFacts): Uint8Array {
  const facts = new TextEncoder().encode(`${boot}${cluster}${agent}`);
  const parts = [...ENCODED, facts];
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** A message in CBOR as it goes on a link whose ends have said that they pack. */
export function packed(cbor: Uint8Array, facts: PackingFacts, { pack }: Packs): Uint8Array {
  const body = pack(cbor, packingDictionary(facts));
  const whole = new Uint8Array(body.length + 1);
  whole[0] = PACKED;
  whole.set(body, 1);
  return whole;
}

/** The CBOR of a packed message; undefined where it cannot be one of these two, and is to be refused. */
export function unpacked(payload: Uint8Array, facts: PackingFacts, { unpack }: Packs): Uint8Array | undefined {
  return unpack(payload.subarray(1), packingDictionary(facts), LIMITS.payloadBytes);
}

export function isPacked(payload: Uint8Array): boolean {
  return payload[0] === PACKED;
}
