import type { AgentStats } from '../protocol/agent-stats.ts';
import { Fault } from '../protocol/faults.ts';
import { shownSize } from '../protocol/size.ts';
import { askLeader } from './ask.ts';
import { printJson } from './output.ts';
import { formatTable } from './table.ts';
import type { Verb } from './verb.ts';

/** `mesq agent stats AGENT`: what an agent has sent, written and used since its process began. It is asked itself. */
export const agentStats: Verb = {
  examples: ['mesq agent stats pi-3', 'mesq agent stats pi-3 --json | jq .stats.link.wireBytes'],
  configure: (command) => {
    command.argument('<agent>', 'name or id of the agent');
  },
  run: async (context, command) => {
    const [agent = ''] = command.args;
    const answer = await askLeader(context, 'agent-stats', { agent });
    if (answer instanceof Fault) return answer;
    if (context.options.json) await printJson(context, answer);
    else {
      const { out } = context.terminal;
      const columns = [
        { title: 'OF', value: ({ of }: Line) => of },
        { title: 'COUNTED', value: ({ what }: Line) => what },
        { title: 'VALUE', value: ({ value }: Line) => value, align: 'right' as const },
      ];
      await out.write(formatTable(linesOf(answer.stats), columns, out));
    }
    return 0;
  },
};

interface Line {
  readonly of: string;
  readonly what: string;
  readonly value: string;
}

/** What is shown of the counts, in the order of docs/frugality.md. */
function linesOf({ upMs, link, reports, disk, tasks, log, bulk, process }: AgentStats): Line[] {
  const carried = ({ messages, bytes }: { messages: number; bytes: number }): string =>
    `${messages} / ${shownSize(bytes)}`;
  const lines: [string, string, string | number][] = [
    ['agent', 'up', span(upMs)],
    ['tasks', 'started, restarted', `${tasks.started}, ${tasks.restarted}`],
    ['link', 'connections', link.connects],
    ['link', 'on the wire, both ways, estimated', shownSize(link.wireBytes)],
    ['link', 'artifacts fetched over HTTP', shownSize(link.fetchedBytes)],
    ['link', 'messages up / payload', carried(link.controlUp)],
    ['link', 'messages down / payload', carried(link.controlDown)],
    ['link', 'presence / payload', carried(link.presence)],
    ['link', 'logs and files / payload', carried(link.bulk)],
    ['link', 'keep-alives', link.keepAlives],
    ['bulk', 'budget a day', bulk.budget === null ? 'none' : shownSize(bulk.budget)],
    ['bulk', 'left of it', bulk.left === null ? '-' : shownSize(bulk.left)],
    ['bulk', 'spent, of that over budget', `${shownSize(bulk.spent)}, ${shownSize(bulk.over)}`],
    ['reports', 'sent', reports.sent],
    ['reports', 'not sent: insignificant, too soon', `${reports.insignificant}, ${reports.soon}`],
    ['disk', 'journal writes / bytes', `${disk.journal.writes} / ${shownSize(disk.journal.bytes)}`],
    ['disk', 'other writes / bytes', `${disk.other.writes} / ${shownSize(disk.other.bytes)}`],
    ['disk', 'task folders', disk.folders],
    ['log', 'lines, dropped', `${log.lines}, ${log.dropped}`],
  ];
  if (process !== null) {
    const { rssKb, pssKb, processorMs, openFiles, writtenBytes } = process;
    const memory =
      pssKb === null ? shownSize(rssKb * 1_024) : `${shownSize(rssKb * 1_024)}, ${shownSize(pssKb * 1_024)}`;
    lines.push(
      ['process', pssKb === null ? 'memory, resident' : 'memory, resident and in proportion', memory],
      ['process', 'processor time', `${(processorMs / 1_000).toFixed(2)} s`],
      ['process', 'open files', openFiles ?? '-'],
      ['process', 'written to storage', writtenBytes === null ? '-' : shownSize(writtenBytes)],
    );
  }
  return lines.map(([of, what, value]) => ({ of, what, value: String(value) }));
}

function span(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 2) return `${Math.floor(ms / 1_000)} s`;
  return minutes < 120 ? `${minutes} min` : `${(minutes / 60).toFixed(1)} h`;
}
