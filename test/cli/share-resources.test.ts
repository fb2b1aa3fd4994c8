import test from 'ava';
import fc from 'fast-check';
import { shareDevices, shareResources } from '../../cli/share-resources.ts';
import { add, equals } from '../../protocol/resource-arithmetic.ts';
import { formatResources, type Resources } from '../../protocol/resources.ts';
import { resourcesOf } from '../resources-of.ts';

const shares = (text: string, count: number): string[] => shareResources(resourcesOf(text), count).map(formatResources);

test('agents share a machine: cpus and GPUs whole, the rest in equal parts', (t) => {
  t.deepEqual(shares('cpus:4;mem:1001;gpus:1;ports:[1-5]', 2), [
    'cpus:2;mem:500.5;gpus:1;ports:[1-3]',
    'cpus:2;mem:500.5;ports:[4-5]',
  ]);
  t.deepEqual(shares('cpus:1;mem:512', 2), ['cpus:1;mem:256', 'mem:256'], 'one core: a task of one cpu fits');
  t.deepEqual(shares('cpus:2.5;mem:512', 2), ['cpus:1.5;mem:256', 'cpus:1;mem:256']);
});

test('however many share, all of it is shared and nothing twice', (t) => {
  const machine = fc.record({ cpus: fc.integer({ min: 1, max: 64_000 }), ports: fc.integer({ min: 1, max: 2_000 }) });
  fc.assert(
    fc.property(machine, fc.integer({ min: 1, max: 64 }), ({ cpus, ports }, count) => {
      const whole = resourcesOf(`cpus:${cpus / 1000};ports:[1-${ports}];gpus:3`);
      const dealt = shareResources(whole, count).reduce<Resources>((sum, share) => add(sum, share), []);
      return equals(dealt, whole);
    }),
  );
  t.pass();
});

test('devices are dealt out one by one, each kind from the first agent on, and none twice', (t) => {
  const devices = ['gpus/a', 'gpus/b', 'hailo/c', 'gpus/d'].map((name) => ({ name, kind: name.split('/')[0] ?? '' }));
  const names = shareDevices(devices, 2).map((share) => share.map(({ name }) => name));
  t.deepEqual(names, [['gpus/a', 'hailo/c', 'gpus/d'], ['gpus/b']]);
  t.deepEqual(shareDevices([], 2), [[], []]);
});
