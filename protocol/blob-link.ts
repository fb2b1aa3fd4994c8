import * as v from 'valibot';
import { BULK } from './agent-link.ts';
import { Sha256 } from './artifact.ts';
import { FaultSchema } from './fault-schema.ts';
import { Id } from './ids.ts';
import { LIMITS } from './limits.ts';

const Count = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER));
const V = v.object({ v: v.number() });

/** The bytes of a block; base64 in JSON. */
const BlockBytes = v.pipe(
  v.union([
    v.instance(Uint8Array),
    v.pipe(
      v.string(),
      v.base64(),
      v.transform((text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))),
    ),
  ]),
  v.check((bytes) => bytes.length > 0 && bytes.length <= LIMITS.chunkBytes, 'a block has 1 to 32,768 bytes'),
);

/** A block that `blob-missing` was answered to lack; what it is called follows from what is in it. */
const Put = v.object({ ...V.entries, type: v.literal('PUT'), data: BlockBytes });

/** client → master, on `clients/<name>/<session>/upload`. */
export const UPLOADS = { PUT: Put } as const;

/** Answers PUT: the block is on the leader's disk, or (`fault`) was not taken. Gives back the credit of one. */
const Stored = v.object({
  ...V.entries,
  type: v.literal('STORED'),
  block: Sha256,
  fault: v.optional(FaultSchema),
});

/** master → client, on `clients/<name>/<session>/bulk`. */
export const CLIENT_BULK = { ...BULK, STORED: Stored } as const;

/** Answers READ_BLOCKS, a message a block. A fault NOT_FOUND may pass: a master that has it may be away. */
const AgentBlock = v.object({
  ...V.entries,
  type: v.literal('BLOCK'),
  block: Sha256,
  data: v.optional(BlockBytes),
  fault: v.optional(FaultSchema),
});

/** master → agent, on `agents/<name>/blocks`. */
export const AGENT_BLOCKS = { BLOCK: AgentBlock } as const;

const Blocks = v.pipe(v.array(Sha256), v.minLength(1), v.maxLength(LIMITS.uploadWindow));

/** The sender lacks these: answered with BLOCK or LACK each; not at once where they are on their way to the one asked. */
const Want = v.object({ ...V.entries, type: v.literal('WANT'), blocks: Blocks });
const Block = v.object({ ...V.entries, type: v.literal('BLOCK'), data: BlockBytes });
const Lack = v.object({ ...V.entries, type: v.literal('LACK'), blocks: Blocks });
/** The leader has, or is being given, this upload: fetch what you lack of it, and say KEPT once all of it is on disk. */
const Keep = v.object({ ...V.entries, type: v.literal('KEEP'), blob: Sha256, owner: Id, size: Count });
const Kept = v.object({ ...V.entries, type: v.literal('KEPT'), blob: Sha256 });
/** The sender has no room for it: its `--blobs` is full of what is needed. An earlier version does not say so. */
const Full = v.object({ ...V.entries, type: v.literal('FULL'), blob: Sha256 });

/** master → master, on `masters/<to>/blocks/<from>`. */
export const MASTER_BLOCKS = { WANT: Want, BLOCK: Block, LACK: Lack, KEEP: Keep, KEPT: Kept, FULL: Full } as const;
