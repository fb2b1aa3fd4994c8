import { writeFileSync } from 'node:fs';
import { AGENT_DOWN, AGENT_UP, BULK, FenceSchema, Identity, KnownTask, PRESENCE } from '../protocol/agent-link.ts';
import { AgentStats } from '../protocol/agent-stats.ts';
import { Arguments } from '../protocol/arguments.ts';
import { AttributesSchema } from '../protocol/attributes.ts';
import { Discovery, Labels } from '../protocol/discovery.ts';
import { type MessageTable, PROTOCOL } from '../protocol/envelope.ts';
import { EXECUTOR_DOWN, EXECUTOR_UP } from '../protocol/executor.ts';
import { FaultSchema } from '../protocol/fault-schema.ts';
import { FAULTS } from '../protocol/faults.ts';
import { Id } from '../protocol/ids.ts';
import { BATCH_OPERATIONS, JobId, JobSpec, JobView, TaskView } from '../protocol/job.ts';
import { LIMITS, TIMES } from '../protocol/limits.ts';
import { Offer } from '../protocol/offer.ts';
import {
  AgentVerdict,
  AgentView,
  EventView,
  FrameworkView,
  MasterView,
  OfferView,
  OPERATIONS,
  PrincipalSchema,
  REPLIES,
  REQUESTS,
} from '../protocol/operator.ts';
import { ResourcesSchema } from '../protocol/resources.ts';
import { CALLS, EVENTS, RoleName, StatusEvent } from '../protocol/scheduler.ts';
import {
  Disconnect,
  Environment,
  ExecutorInfo,
  isTerminal,
  REASONS,
  TASK_STATES,
  TaskInfo,
  TaskKey,
  TaskStatus,
  transition,
} from '../protocol/task.ts';
import { Check, CheckStatus, HealthCheck } from '../protocol/task-checks.ts';
import { LeaderDocument, TOPICS } from '../protocol/topics.ts';
import { cliPage } from './cli-page.ts';
import { messageRows, shapeOf } from './shapes.ts';

/** The pages that a table of the code writes: `node build/tools/docs.js` renews them, a test compares them. */
export async function generatedPages(): Promise<Record<string, string>> {
  return {
    'docs/faults.md': faultsPage(),
    'docs/topics.md': topicsPage(),
    'docs/messages.md': messagesPage(),
    'docs/limits.md': limitsPage(),
    'docs/task-states.md': statesPage(),
    'docs/cli.md': await cliPage(),
  };
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function faultsPage(): string {
  const rows = Object.entries(FAULTS).map(([code, { exit, means, hint }]) => [
    `\`${code}\``,
    String(exit),
    means,
    hint,
  ]);
  return `# Faults

Every expected failure has a code. On the wire it is \`{code, message, hint}\`: the message says what was wrong and
where, the hint what to do next. The exit code is that of every verb but \`run\`, \`wait\`, \`attach\` and \`exec\`, which
pass the task's own code through and use 125 for these.

${table(['code', 'exit', 'means', 'what to do'], rows)}
`;
}

function topicsPage(): string {
  const rows = Object.values(TOPICS).map(({ pattern, qos, retain, publish, subscribe, means }) => [
    `\`mesq/${pattern}\``,
    String(qos),
    retain ? 'yes' : '',
    publish.join(', '),
    subscribe.join(', '),
    means,
  ]);
  return `# Topics

\`mesq\` is the default of \`--prefix\`. \`{name}\` is the name of the credential that speaks: an agent, a framework and a
client can only use the topics that carry their own name. \`local\` is an anonymous connection on a loopback listener;
\`master\` is the master itself. Wildcard subscriptions of readers (\`#\`, \`mesq/#\`, \`$SYS/#\`) are granted and filtered at
delivery. A forbidden publish is dropped and counted.

${table(['topic', 'QoS', 'retained', 'who publishes', 'who subscribes', 'what travels on it'], rows)}

Control topics carry CBOR; who begins in JSON is answered in JSON. \`state/\`, \`events/\` and \`leader\` are JSON for people.
\`$SYS/broker/*\` has what MQTT Explorer's panel reads, for the same readers as \`state/\`.
`;
}

/** The shapes that have a name on the page, most basic first. */
const NAMED: ReadonlyMap<unknown, string> = new Map<unknown, string>([
  [Id, 'Id'],
  [JobId, 'JobId'],
  [RoleName, 'Role'],
  [FaultSchema, 'Fault'],
  [ResourcesSchema, 'Resources'],
  [AttributesSchema, 'Attributes'],
  [TASK_STATES, 'State'],
  [REASONS, 'Reason'],
  [Arguments, 'Arguments'],
  [Environment, 'Environment'],
  [ExecutorInfo, 'ExecutorInfo'],
  [TaskKey, 'TaskKey'],
  [Disconnect, 'Disconnect'],
  [HealthCheck, 'HealthCheck'],
  [Check, 'Check'],
  [CheckStatus, 'CheckStatus'],
  [Labels, 'Labels'],
  [Discovery, 'Discovery'],
  [TaskInfo, 'TaskInfo'],
  [TaskStatus, 'TaskStatus'],
  [StatusEvent, 'StatusEvent'],
  [KnownTask, 'KnownTask'],
  [Identity, 'Identity'],
  [Offer, 'Offer'],
  [JobSpec, 'JobSpec'],
  [JobView, 'JobView'],
  [TaskView, 'TaskView'],
  [AgentStats, 'AgentStats'],
  [AgentView, 'AgentView'],
  [MasterView, 'MasterView'],
  [FrameworkView, 'FrameworkView'],
  [OfferView, 'OfferView'],
  [EventView, 'EventView'],
  [AgentVerdict, 'AgentVerdict'],
  [PrincipalSchema, 'Principal'],
  [LeaderDocument, 'LeaderDocument'],
  [FenceSchema, 'Fence'],
]);

const IN_WORDS: Readonly<Record<string, string>> = {
  Id: '1 to 64 of A-Z a-z 0-9 . _ -, beginning with a letter or a digit',
  JobId: '1 to 41 of A-Z a-z 0-9 _ -, beginning with a letter or a digit',
  Role: 'a path of names, `*` for everybody',
  State: 'one of the fourteen of docs/task-states.md',
  Reason: REASONS.map((reason) => `\`${reason}\``).join(', '),
};

function messagesPage(): string {
  const of = (messages: MessageTable): string => table(['type', 'fields'], messageRows(messages, NAMED));
  const operations = (rows: Readonly<Record<string, { role: string; body: unknown; part: unknown }>>): string =>
    table(
      ['op', 'asked by', 'body', 'each part of the reply'],
      Object.entries(rows).map(([op, { role, body, part }]) => [
        `\`${op}\``,
        role,
        `\`${shapeOf(body, NAMED)}\``,
        `\`${shapeOf(part, NAMED)}\``,
      ]),
    );
  const shapes = [...NAMED].map(([schema, name]) => {
    const without = new Map(NAMED);
    without.delete(schema);
    const words = IN_WORDS[name];
    return [`\`${name}\``, words ?? `\`${shapeOf(schema, without)}\``];
  });
  return `# Messages

Every message is a map with \`v\` (the protocol's major, ${PROTOCOL.max}) and \`type\`, in CBOR or in JSON; what else it has is here.
A \`?\` marks what may be left out; unknown fields are ignored; \`≤\` behind a text or a list is its greatest length.
Bytes are base64 in JSON. docs/protocol.md says what the messages mean.

## Agent to master: \`agents/{name}/up\`

${of(AGENT_UP)}

## Master to agent: \`agents/{name}/down\`

${of(AGENT_DOWN)}

## Presence and output: \`agents/{name}/presence\`, \`…/bulk\`

${of({ ...PRESENCE, ...BULK })}

## Scheduler to master: \`frameworks/{name}/call\`

${of(CALLS)}

## Master to scheduler: \`frameworks/{name}/event\`, \`…/offers\`

${of(EVENTS)}

## Executor and agent: lines of JSON on a Unix socket

docs/executors.md says what they mean. \`v\` may be left out. First what an executor says, then what it hears.

${of(EXECUTOR_UP)}

${of(EXECUTOR_DOWN)}

## Client and master: \`clients/{name}/{session}/request\`, \`…/reply\`

${of({ ...REQUESTS, ...REPLIES })}

### What the leader answers

${operations(OPERATIONS)}

### What the batch framework answers (\`framework: batch\`)

${operations(BATCH_OPERATIONS)}

## Shapes

${table(['name', 'is'], shapes)}
`;
}

function limitsPage(): string {
  const number = (value: number): string => value.toLocaleString('en-US');
  return `# Limits

Every bound and every default time is in one file, \`protocol/limits.ts\`. What is over a bound is cut, refused with a
fault (\`TOO_LARGE\`, \`LIMIT\`), or dropped and counted.

${table(
  ['bound', 'value'],
  Object.entries(LIMITS).map(([name, value]) => [`\`${name}\``, number(value)]),
)}

${table(
  ['time', 'ms'],
  Object.entries(TIMES).map(([name, value]) => [`\`${name}\``, number(value)]),
)}
`;
}

function statesPage(): string {
  const rows = TASK_STATES.map((from) => [
    `\`${from}\``,
    isTerminal(from) ? 'yes' : '',
    TASK_STATES.filter((to) => transition(from, to) === 'moved')
      .map((to) => to.slice(5).toLowerCase().replaceAll('_', ' '))
      .join(', ') || '–',
  ]);
  return `# Task states

The fourteen states are those of Mesos. A repeated report is not an error: agents send again until acknowledged.
Resources return at the end, not at the acknowledgement. A task on an agent that cannot be reached is
\`TASK_UNREACHABLE\`: it may well be running, and nothing is freed until its agent says so, its \`lost_after\` runs out, or
an operator declares the agent gone.

${table(['state', 'an end', 'may become'], rows)}
`;
}

if (process.argv[1]?.endsWith('tools/docs.js')) {
  for (const [path, text] of Object.entries(await generatedPages())) writeFileSync(path, text);
}
