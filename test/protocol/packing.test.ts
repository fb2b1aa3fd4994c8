import { createHash } from 'node:crypto';
import test from 'ava';
import fc from 'fast-check';
import { systemPacking } from '../../io/node/message-packing.ts';
import { AGENT_DOWN, AGENT_UP } from '../../protocol/agent-link.ts';
import { write } from '../../protocol/envelope.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { isPacked, PACKING, packed, packingDictionary, unpacked } from '../../protocol/packing.ts';

const FACTS = {
  cluster: 'c-j6ehdrzfpapujmjqtml2',
  agent: 'lrqikoi67kldd',
  boot: '0e372fc0-7e43-4a06-a293-2b65d56a467a',
};

test('the dictionary is the one of its number: with another one PACKING is another, too', (t) => {
  const none = packingDictionary({ cluster: '', agent: '', boot: '' });
  const hash = createHash('sha256').update(none).digest('hex').slice(0, 16);
  t.deepEqual({ version: PACKING, hash }, { version: 1, hash: '0b4f7ae3fe2788d8' });
});

test('whatever is packed comes back, however long, and is told apart from CBOR and JSON', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 4_096 }), (bytes) => {
      const short = packed(bytes, FACTS, systemPacking);
      return isPacked(short) && Buffer.compare(unpacked(short, FACTS, systemPacking) ?? Buffer.of(1), bytes) === 0;
    }),
  );
  for (const encoding of ['cbor', 'json'] as const)
    t.false(isPacked(write(AGENT_UP, { type: 'RENEW', epoch: 1 }, encoding)));
});

test('a greeting and its answer become a third of what they were', (t) => {
  const cluster = { uuid: FACTS.cluster, generation: 1 };
  const greeting = write(AGENT_UP, {
    ...{ type: 'RESUME', agent: FACTS.agent, epoch: 7, incarnation: 'qvvjbegckoxrbhjj', session: 3, cluster },
    ...{ reported: '0c6e72f2de55cbbf', digest: '0-0-0' },
  });
  const fence = { cluster: FACTS.cluster, generation: 1, term: 3, index: 812, epoch: 7 };
  const answer = write(AGENT_DOWN, { ...fence, type: 'RESUMED', agent: FACTS.agent, brief: true, packs: PACKING });
  t.true(packed(greeting, FACTS, systemPacking).length < greeting.length / 2);
  t.true(packed(answer, FACTS, systemPacking).length < answer.length / 3);
});

test('what cannot be unpacked, or to more than a payload may have, is none; with other facts it is no message', (t) => {
  const bomb = packed(new Uint8Array(LIMITS.payloadBytes + 1), FACTS, systemPacking);
  t.is(unpacked(bomb, FACTS, systemPacking), undefined);
  t.is(unpacked(Uint8Array.of(1, 0xff, 0xff, 0xff), FACTS, systemPacking), undefined);
  const message = write(AGENT_UP, { type: 'RENEW', epoch: 1 });
  const theirs = unpacked(packed(message, FACTS, systemPacking), { ...FACTS, agent: 'x' }, systemPacking);
  t.notDeepEqual(theirs && [...theirs], [...message]);
});
