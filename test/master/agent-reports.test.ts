import test from 'ava';
import { AgentReports } from '../../master/agent-reports.ts';
import type { Leader } from '../../master/leader.ts';
import type { Command } from '../../master/registry/commands.ts';
import type { AgentRecord } from '../../master/registry/registry.ts';
import { Fault } from '../../protocol/faults.ts';
import { resourcesOf } from '../resources-of.ts';
import { VirtualClock } from '../sim/clock.ts';

const FOUR = resourcesOf('cpus:4;mem:1024');

/** A leader of one agent with four cpus, whose proposals are committed only where the test says so. */
function world() {
  const clock = new VirtualClock();
  const temperatures: (string | undefined)[] = [];
  const agent = { agent: 'a', epoch: 7, state: 'active', attributes: [], resources: FOUR } as unknown as AgentRecord;
  const registry = { agents: new Map([['a', agent]]) };
  const gate = { fault: undefined as Fault | undefined };
  const propose = (command: Command): Fault | undefined => {
    if (gate.fault === undefined && command.kind === 'REPORT_AGENT') {
      const [first] = command.attributes;
      temperatures.push(first !== undefined && 'text' in first ? first.text : undefined);
    }
    return gate.fault;
  };
  const counters = { count: () => 1 };
  const leader = { registry, propose, world: { clock, counters } } as unknown as Leader;
  const reports = new AgentReports(leader);
  const says = (text?: string, from = agent): void =>
    reports.take(from, FOUR, text === undefined ? [] : [{ name: 'celsius', text }]);
  return { clock, temperatures, agent, registry, gate, reports, says };
}

test('a report that says nothing new is not proposed, whether what it repeats is committed or on its way', (t) => {
  const { temperatures, says } = world();
  says();
  t.deepEqual(temperatures, []);
  says('50');
  says('50');
  t.deepEqual(temperatures, ['50']);
  says();
  t.deepEqual(temperatures, ['50', undefined], 'the registry says so still, and will not');
});

test('after a registration it is compared with that, and what was to be said before it is not', async (t) => {
  const { clock, temperatures, agent, registry, says } = world();
  for (let at = 0; at < 11; at++) says(String(at));
  const next = { ...agent, epoch: 9, attributes: [{ name: 'celsius', text: '77' }] } as unknown as AgentRecord;
  registry.agents.set('a', next);
  says('77', next);
  await clock.advance(60_000);
  t.is(temperatures.length, 10);
  says('78', next);
  t.is(temperatures.at(-1), '78');
});

test('who reports another thing every second is written down ten times, then once in ten seconds, the newest', async (t) => {
  const { clock, temperatures, says } = world();
  for (let second = 0; second < 600; second++) {
    says(String(second));
    await clock.advance(1_000);
  }
  t.true(temperatures.length >= 60 && temperatures.length <= 71, String(temperatures.length));
  t.deepEqual(temperatures.slice(0, 10), [...'0123456789']);
  await clock.advance(20_000);
  t.is(temperatures.at(-1), '599', 'the last is not lost');
});

test('a change that is taken back while it waits is none; a refused proposal is made again; a term ends all', async (t) => {
  const { clock, temperatures, gate, reports, says } = world();
  for (let at = 0; at < 10; at++) says(String(at));
  says('10');
  says('9');
  await clock.advance(60_000);
  t.is(temperatures.at(-1), '9');
  gate.fault = new Fault('NO_LEADER', 'it is handed over');
  says('11');
  gate.fault = undefined;
  await clock.advance(11_000);
  t.is(temperatures.at(-1), '11');
  gate.fault = new Fault('NO_LEADER', 'it is handed over');
  says('12');
  gate.fault = undefined;
  reports.stop();
  await clock.advance(60_000);
  t.is(temperatures.at(-1), '11');
});
