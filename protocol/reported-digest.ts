import { type Attributes, formatAttributes } from './attributes.ts';
import type { Resource, Resources } from './resources.ts';
import { formatResources } from './resources.ts';

/**
 * A digest of what an agent reports of its machine: 16 hexadecimal digits of two hashes, 32 bits each. Equal where
 * resource-arithmetic's `equals` and the texts of attributes say so: the order of resources and of members of sets means
 * nothing, that of attributes does.
 */
export function reportedDigest(resources: Resources, attributes: Attributes): string {
  const entries = resources.map((resource) => formatResources([ordered(resource)])).sort();
  const text = `${entries.join(';')}\n${formatAttributes(attributes)}`;
  let first = 0x811c9dc5;
  let second = text.length;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    first = Math.imul(first ^ unit, 0x01000193);
    second = Math.imul(second ^ unit ^ (second >>> 15), 0x2c1b3c6d);
  }
  return [first, second].map((hash) => (hash >>> 0).toString(16).padStart(8, '0')).join('');
}

function ordered(resource: Resource): Resource {
  return resource.set === undefined ? resource : { ...resource, set: [...resource.set].sort() };
}
