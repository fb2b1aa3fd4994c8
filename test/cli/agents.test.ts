import test from 'ava';
import { agentColumns } from '../../cli/agents.ts';
import type { AgentView } from '../../protocol/operator.ts';

const NOW = Date.UTC(2026, 0, 1);
const MINUTE = 60_000;
const PI: AgentView = {
  ...{ id: 'a-1', name: 'pi', state: 'active', hostname: 'pi', attributes: {}, tasks: 0, epoch: 1, lastSeen: NOW },
  resources: { total: 'cpus:4', allocated: '', offered: '' },
};

const windowOf = (window: AgentView['window']): string | number | null | undefined =>
  agentColumns([window === undefined ? PI : { ...PI, window }], NOW)
    .find(({ title }) => title === 'WINDOW')
    ?.value({ ...PI, ...(window === undefined ? {} : { window }) });

test('the table of agents says when a machine is to be away, where that is known of any', (t) => {
  t.is(windowOf(undefined), undefined);
  t.is(windowOf({ start: NOW + 180 * MINUTE, end: NOW + 210 * MINUTE }), 'in 3h for 30m');
  t.is(windowOf({ start: NOW + 5 * MINUTE, end: null }), 'in 5m');
  t.is(windowOf({ start: NOW - 5 * MINUTE, end: NOW + 25 * MINUTE }), 'for 25m more');
  t.is(windowOf({ start: NOW - 5 * MINUTE, end: null }), 'now');
  const both = [PI, { ...PI, window: { start: NOW - 1, end: null } }];
  t.is(
    agentColumns(both, NOW)
      .find(({ title }) => title === 'WINDOW')
      ?.value(PI),
    '-',
  );
});
