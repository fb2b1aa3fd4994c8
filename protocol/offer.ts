import * as v from 'valibot';
import { AttributesSchema } from './attributes.ts';
import { Id } from './ids.ts';
import { ResourcesSchema } from './resources.ts';

const Moment = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER));

/** Wall clock, milliseconds. `durationMs` absent: until somebody says otherwise (Mesos: Unavailability). */
export const Unavailability = v.object({ startMs: Moment, durationMs: v.optional(Moment) });
export type Unavailability = v.InferOutput<typeof Unavailability>;

/** Resources of one agent, promised to one framework under one role until accepted, declined, rescinded or timed out. */
export const Offer = v.object({
  offer: Id,
  framework: Id,
  role: v.pipe(v.string(), v.maxLength(256)),
  /** The agent's id, and its name for people. */
  agent: Id,
  name: Id,
  hostname: v.pipe(v.string(), v.maxLength(128)),
  resources: ResourcesSchema,
  attributes: AttributesSchema,
  /** When the agent will be unavailable, where that is known. */
  unavailability: v.optional(Unavailability),
});
export type Offer = v.InferOutput<typeof Offer>;
