import * as v from 'valibot';
import { LIMITS } from './limits.ts';

/** Words of the framework's own, for people and for services that look for tasks; the cluster reads none of them. */
export const Labels = v.pipe(
  v.record(
    v.pipe(v.string(), v.minLength(1), v.maxLength(LIMITS.labelNameLength)),
    v.pipe(v.string(), v.maxLength(LIMITS.labelLength)),
  ),
  v.check((labels) => Object.keys(labels).length <= LIMITS.labels, `at most ${LIMITS.labels} labels`),
);

const Name = v.pipe(v.string(), v.minLength(1), v.maxLength(LIMITS.labelNameLength));

/** How a task is found by others (Mesos: DiscoveryInfo): told to readers, used by nobody in the cluster itself. */
export const Discovery = v.object({
  /** Who may see it: its own framework, everything in the cluster, or anybody. */
  visibility: v.picklist(['framework', 'cluster', 'external']),
  name: v.optional(Name),
  environment: v.optional(Name),
  location: v.optional(Name),
  version: v.optional(Name),
  ports: v.optional(
    v.pipe(
      v.array(
        v.object({
          number: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535)),
          name: v.optional(Name),
          protocol: v.optional(Name),
        }),
      ),
      v.maxLength(LIMITS.discoveryPorts),
    ),
  ),
  labels: v.optional(Labels),
});
export type Discovery = v.InferOutput<typeof Discovery>;
