import test from 'ava';
import { accessOf } from '../../broker/access/access.ts';
import { peerRole, refuseSession } from '../../broker/access/sessions.ts';
import { isName, isTopicWord, isWellFormed } from '../../broker/access/words.ts';
import { rights, TOPICS, type TopicName, topicOf } from '../../protocol/topics.ts';

const TABLE = rights('mesq');
const ROLES = ['agent', 'framework', 'user', 'operator', 'viewer', 'join', 'local'] as const;
const KINDS = Object.keys(TOPICS) as TopicName[];

/** The topic of a kind under a name; `state/` and `events/` belong to nobody. */
function topic(kind: TopicName, name: string): string {
  return topicOf('mesq', { kind, name, session: 's1', rest: 'x/y' });
}

/** Every cell, written out: role → what it may publish, and what it may subscribe to, under its own name. */
const CELLS: Record<(typeof ROLES)[number], { publish: TopicName[]; subscribe: TopicName[] }> = {
  agent: { publish: ['up', 'agentBulk', 'presence'], subscribe: ['leader', 'news', 'down', 'agentBlocks'] },
  framework: { publish: ['call'], subscribe: ['leader', 'event', 'offers', 'state', 'events'] },
  user: { publish: ['request', 'upload'], subscribe: ['leader', 'reply', 'clientBulk', 'state', 'events'] },
  operator: { publish: ['request', 'upload'], subscribe: ['leader', 'reply', 'clientBulk', 'state', 'events'] },
  viewer: { publish: ['request'], subscribe: ['leader', 'reply', 'clientBulk', 'state', 'events'] },
  join: { publish: ['request'], subscribe: ['leader', 'reply', 'clientBulk'] },
  local: {
    publish: ['up', 'agentBulk', 'presence', 'call', 'request', 'upload'],
    subscribe: ['leader', 'news', 'down', 'agentBlocks', 'event', 'offers', 'reply', 'clientBulk', 'state', 'events'],
  },
};

const NAMELESS = new Set<TopicName>(['leader', 'news', 'state', 'events']);

for (const role of ROLES) {
  test(`every cell of ${role}`, (t) => {
    const access = accessOf(TABLE, { role, name: 'ann' });
    for (const kind of KINDS) {
      t.is(access.mayPublish(topic(kind, 'ann')), CELLS[role].publish.includes(kind), `publish ${kind}`);
      t.is(
        access.maySubscribe(topic(kind, 'ann')) !== 'refused',
        CELLS[role].subscribe.includes(kind),
        `subscribe ${kind}`,
      );
      t.is(access.mayReceive(topic(kind, 'ann')), CELLS[role].subscribe.includes(kind), `receive ${kind}`);
      if (NAMELESS.has(kind)) continue;
      t.false(access.mayPublish(topic(kind, 'bob')), `publish ${kind} of another`);
      t.is(access.maySubscribe(topic(kind, 'bob')), 'refused', `subscribe ${kind} of another`);
      t.false(access.mayReceive(topic(kind, 'bob')), `receive ${kind} of another`);
    }
    t.false(access.mayRetain('mesq/leader'));
  });
}

test('a master that is a client of another one says Raft messages under its own name, and nothing else', (t) => {
  const peer = accessOf(TABLE, { role: 'peer', name: 'm2' });
  t.true(peer.mayPublish('mesq/masters/m1/raft/m2'));
  for (const other of ['mesq/masters/m1/raft/m3', 'mesq/masters/m1/raft/m2/x', 'mesq/leader', 'mesq/agents/m2/up'])
    t.false(peer.mayPublish(other), other);
  for (const filter of ['mesq/masters/m1/raft/m2', 'mesq/masters/+/raft/+', 'mesq/#', '#'])
    t.false(peer.maySubscribe(filter) !== 'refused' && peer.mayReceive('mesq/masters/m1/raft/m3'), filter);
});

test('MQTT Explorer subscribes to everything, is granted it, and receives what it may', (t) => {
  const viewer = accessOf(TABLE, { role: 'viewer', name: 'eve' });
  t.is(viewer.maySubscribe('#'), 'filtered');
  t.is(viewer.maySubscribe('$SYS/#'), 'filtered');
  t.is(viewer.maySubscribe('mesq/#'), 'filtered');
  t.is(viewer.maySubscribe('+/state/#'), 'filtered');
  t.is(viewer.maySubscribe('mesq/state/#'), 'granted');
  for (const readable of ['mesq/leader', 'mesq/state/agents/pi', 'mesq/events/task-ended/j.0', '$SYS/broker/version'])
    t.true(viewer.mayReceive(readable), readable);
  for (const secret of [
    'mesq/agents/pi/down',
    'mesq/clients/ann/s1/reply',
    'mesq/frameworks/batch/event',
    '$SYS/other',
    'elsewhere',
  ])
    t.false(viewer.mayReceive(secret), secret);
});

test('an agent gets nothing by wildcards that is not its own', (t) => {
  const agent = accessOf(TABLE, { role: 'agent', name: 'pi' });
  t.is(agent.maySubscribe('mesq/agents/+/down'), 'filtered');
  t.false(agent.mayReceive('mesq/agents/other/down'));
  t.is(agent.maySubscribe('mesq/state/#'), 'refused');
  t.is(agent.maySubscribe('$SYS/#'), 'refused');
  t.is(agent.maySubscribe('$share/g/mesq/agents/pi/down'), 'refused');
  t.false(agent.mayPublish('mesq/agents/pi/up/more'));
  t.false(agent.mayPublish('mesq/agents/pi'));
});

test('a name that looks like a wildcard is only a name', (t) => {
  const strange = accessOf(TABLE, { role: 'agent', name: '+' });
  t.false(
    strange.mayPublish('mesq/agents/pi/up'),
    'the composition refuses such names; should one pass, it gains nothing',
  );
});

test('who may stand beside whom', (t) => {
  const agent = { role: 'agent', name: 'pi' };
  const live = [{ clientId: 'pi~1', speaker: agent }];
  t.is(refuseSession(live, 'pi~1', agent), undefined, 'the same installation takes its old session over');
  t.regex(refuseSession(live, 'pi~2', agent) ?? '', /connected already/);
  t.regex(refuseSession(live, 'pi~1', { role: 'user', name: 'ann' }) ?? '', /belongs to a live connection/);
  const user = { role: 'user', name: 'ann' };
  t.is(
    refuseSession([{ clientId: 'ann/1', speaker: user }], 'ann/2', user),
    undefined,
    'two shells with one token live side by side',
  );
  const local = { role: 'local', name: 'pi' };
  t.regex(refuseSession([{ clientId: 'pi~1', speaker: local }], 'pi~2', local) ?? '', /connected already/);
  t.is(refuseSession([{ clientId: 'pi/1', speaker: local }], 'pi/2', local), undefined);
});

test('names and topics are checked before anything else looks at them', (t) => {
  const limits = { nameLength: 10, topicLength: 20, topicLevels: 3 };
  for (const bad of [
    'a\u0000b',
    'a\nb',
    'a\u007fb',
    'a\u0085',
    'a\ud800b',
    'a\ufffdb',
    'a\ufffe',
    '\u{1ffff}',
    '\ufdd0',
  ])
    t.false(isWellFormed(bad), JSON.stringify(bad));
  for (const good of ['', 'pi', 'Größe', '日本', '🍓']) t.true(isWellFormed(good), good);
  t.false(isName('12345678901', limits));
  t.true(isName('', limits));
  t.false(isTopicWord('', limits));
  t.false(isTopicWord('a/b/c/d', limits));
  t.false(isTopicWord('a'.repeat(21), limits));
  t.true(isTopicWord('a/b/c', limits));
});

test('a connection stands for the agent or framework of its name by its role, and on this machine by its client id', (t) => {
  t.is(peerRole({ role: 'agent', name: 'pi' }, 'pi/1'), 'agent');
  t.is(peerRole({ role: 'framework', name: 'pi' }, 'pi'), 'framework');
  t.is(peerRole({ role: 'local', name: 'pi' }, 'pi~1'), 'local');
  t.is(peerRole({ role: 'local', name: 'pi' }, 'pi'), 'local', 'one that was written without our SDK');
  t.is(peerRole({ role: 'local', name: 'pi' }, 'pi/1'), undefined);
  for (const role of ['user', 'operator', 'viewer']) t.is(peerRole({ role, name: 'pi' }, 'pi~1'), undefined);
});
