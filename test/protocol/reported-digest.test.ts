import test from 'ava';
import { parseAttributes } from '../../protocol/attributes.ts';
import { Fault } from '../../protocol/faults.ts';
import { reportedDigest } from '../../protocol/reported-digest.ts';
import { equals } from '../../protocol/resource-arithmetic.ts';
import { parseResources } from '../../protocol/resources.ts';

function digest(resources: string, attributes: string): string {
  const parsed = parseResources(resources);
  const named = parseAttributes(attributes);
  if (parsed instanceof Fault || named instanceof Fault) throw new Error('not readable');
  return reportedDigest(parsed, named);
}

test('equal resources have one digest, whatever their order; anything else has another', (t) => {
  const texts = ['cpus:4;mem:1024;disks:{a,b}', 'mem:1024;disks:{b,a};cpus:4', 'cpus:4;mem:1025;disks:{a,b}'];
  const more = ['cpus(r):4;mem:1024;disks:{a,b}', 'cpus{REV}:4;mem:1024;disks:{a,b}', 'cpus:4;disks:{a,b}', ''];
  const all = [...texts, ...more, 'ports:[1-5,7-9]', 'ports:[7-9,1-5]', 'ports:[1-5,7-10]'];
  for (const a of all) {
    for (const b of all) {
      const [left, right] = [parseResources(a), parseResources(b)];
      if (left instanceof Fault || right instanceof Fault) return t.fail(`${a} and ${b} can be read`);
      t.is(digest(a, 'x:1') === digest(b, 'x:1'), equals(left, right), `${a} and ${b}`);
    }
  }
  t.not(digest('cpus:4', 'kind:pi'), digest('cpus:4', 'kind:nano'));
  return t.not(digest('cpus:4', ''), digest('cpus:4', 'kind:pi'));
});
