import { writeFileSync } from 'node:fs';
import { FAULTS } from '../protocol/faults.ts';
import { LIMITS, TIMES } from '../protocol/limits.ts';
import { TOPICS } from '../protocol/topics.ts';
import { isTerminal, TASK_STATES, transition } from '../protocol/task.ts';

/** The pages that a table of the code writes: `node build/tools/docs.js` renews them, a test compares them. */
export function generatedPages(): Record<string, string> {
  return {
    'docs/faults.md': faultsPage(),
    'docs/topics.md': topicsPage(),
    'docs/limits.md': limitsPage(),
    'docs/task-states.md': statesPage(),
  };
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function faultsPage(): string {
  const rows = Object.entries(FAULTS).map(([code, { exit, means, hint }]) => [`\`${code}\``, String(exit), means, hint]);
  return `# Faults

Every expected failure has a code. On the wire it is \`{code, message, hint}\`: the message says what was wrong and
where, the hint what to do next. The exit code is that of every verb but \`run\`, \`wait\`, \`attach\` and \`exec\`, which
pass the task's own code through and use 125 for these.

${table(['code', 'exit', 'means', 'what to do'], rows)}
`;
}

function topicsPage(): string {
  const rows = Object.values(TOPICS).map(({ pattern, qos, retain, publish, subscribe, means }) => [
    `\`mesq/${pattern}\``, String(qos), retain ? 'yes' : '', publish.join(', '), subscribe.join(', '), means,
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

function limitsPage(): string {
  const number = (value: number): string => value.toLocaleString('en-US');
  return `# Limits

Every bound and every default time is in one file, \`protocol/limits.ts\`. What is over a bound is cut, refused with a
fault (\`TOO_LARGE\`, \`LIMIT\`), or dropped and counted.

${table(['bound', 'value'], Object.entries(LIMITS).map(([name, value]) => [`\`${name}\``, number(value)]))}

${table(['time', 'ms'], Object.entries(TIMES).map(([name, value]) => [`\`${name}\``, number(value)]))}
`;
}

function statesPage(): string {
  const rows = TASK_STATES.map((from) => [
    `\`${from}\``,
    isTerminal(from) ? 'yes' : '',
    TASK_STATES.filter((to) => transition(from, to) === 'moved').map((to) => to.slice(5).toLowerCase().replaceAll('_', ' ')).join(', ') || '–',
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
  for (const [path, text] of Object.entries(generatedPages())) writeFileSync(path, text);
}
