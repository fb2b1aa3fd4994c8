import test from 'ava';
import fc from 'fast-check';
import { LIMITS } from '../../protocol/limits.ts';
import { type Address, parseTopic, rights, TOPICS, type TopicName, topicOf } from '../../protocol/topics.ts';

const id = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/);
const KINDS = Object.keys(TOPICS) as TopicName[];

test('every address is read back from its topic, under any prefix', (t) => {
  fc.assert(
    fc.property(fc.constantFrom(...KINDS), id, id, id, id, (kind, prefix, name, session, rest) => {
      const { pattern } = TOPICS[kind];
      const address: Address = {
        kind,
        ...(pattern.includes('{name}') ? { name } : {}),
        ...(pattern.includes('{session}') ? { session } : {}),
        ...(pattern.includes('#') ? { rest: `${rest}/${name}` } : {}),
      };
      const topic = topicOf(prefix, address);
      t.deepEqual(parseTopic(prefix, topic), address);
      return topic.length < 512 && parseTopic(`${prefix}x`, topic) === undefined;
    }),
  );
});

test('what is no address of ours is none', (t) => {
  for (const topic of [
    'mesq',
    'mesq/',
    'mesq/agents',
    'mesq/agents//up',
    'mesq/agents/a/up/x',
    'mesq/agents/a/UP',
    'mesq/state',
    'other/leader',
    'mesq/leader/x',
    '/mesq/leader',
    '',
  ]) {
    t.is(parseTopic('mesq', topic), undefined, topic);
  }
});

test('control travels at QoS 1 and is never retained; only the master writes what is', (t) => {
  for (const kind of KINDS) {
    const { qos, retain, publish } = TOPICS[kind];
    if (retain) t.deepEqual([...publish], ['master'], kind);
    else if (!['raft', 'events'].includes(kind)) t.is(qos, 1, kind);
  }
  t.true(rights('mesq').every(({ filter }) => !filter.includes('{session}')));
  t.true(LIMITS.partBytes < LIMITS.payloadBytes && LIMITS.commandBytes < LIMITS.payloadBytes);
});
