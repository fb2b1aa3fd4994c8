import * as v from 'valibot';
import { AttributesSchema } from './attributes.ts';
import { Id } from './ids.ts';
import { ResourcesSchema } from './resources.ts';

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
});
export type Offer = v.InferOutput<typeof Offer>;
