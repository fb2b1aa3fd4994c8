import test from 'ava';
import { allocationOf } from '../../cli/allocation-options.ts';
import { Fault } from '../../protocol/faults.ts';

test('what an operator says about offers and shares is taken apart, or refused with the option', (t) => {
  t.deepEqual(allocationOf({}), {});
  t.deepEqual(allocationOf({ minOffer: ['cpus:1;mem:64', 'gpus:1'], fairExclude: 'gpus, ports' }), {
    minimum: [
      [
        { name: 'cpus', amount: 1_000 },
        { name: 'mem', amount: 64_000 },
      ],
      [{ name: 'gpus', amount: 1_000 }],
    ],
    fairnessExcluded: ['gpus', 'ports'],
  });
  for (const [option, bad] of [
    ['--min-offer', allocationOf({ minOffer: ['cpus:x'] })],
    ['--fair-exclude', allocationOf({ fairExclude: 'gpus,,' })],
  ] as const)
    t.true(bad instanceof Fault && bad.code === 'BAD_USAGE' && bad.message.startsWith(option), String(bad));
});
