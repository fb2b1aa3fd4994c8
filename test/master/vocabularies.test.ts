import test from 'ava';
import { COMMAND_FORMAT, CommandReader } from '../../master/registry/commands.ts';
import { Vocabularies } from '../../master/registry/vocabularies.ts';
import { encode } from '../../protocol/envelope.ts';

const member = (id: string) => ({ id, urls: [] });
const MEMBERS = { voters: ['m1', 'm2', 'm3'].map(member), learners: [member('m4')] };

test('a new command waits for every other master, also for one that only learns, and one that does not say what it knows', (t) => {
  const vocabularies = new Vocabularies();
  t.deepEqual(vocabularies.without(1, MEMBERS, 'm1'), [], 'what there always was');
  t.deepEqual(vocabularies.without(2, MEMBERS, 'm1'), ['m2', 'm3', 'm4']);
  vocabularies.heard('m2', 3);
  vocabularies.heard('m3', undefined);
  vocabularies.heard('m4', 2);
  t.deepEqual(vocabularies.without(2, MEMBERS, 'm1'), ['m3']);
  vocabularies.heard('m3', 2);
  t.deepEqual(vocabularies.without(2, MEMBERS, 'm1'), []);
  vocabularies.forget();
  t.deepEqual(vocabularies.without(2, MEMBERS, 'm1'), ['m2', 'm3', 'm4'], 'it may be of an earlier version again');
});

test('a master that finds a command of a later version in its log says so', (t) => {
  const later = encode({ f: COMMAND_FORMAT, kind: 'PAINT_AGENT', colour: 'green' }, 'cbor');
  t.throws(() => new CommandReader().read(later), { message: /the command PAINT_AGENT is known/ });
});
