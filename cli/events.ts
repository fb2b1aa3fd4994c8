import * as v from 'valibot';
import { Fault } from '../protocol/faults.ts';
import { topicOf } from '../protocol/topics.ts';
import { isoTime } from './output.ts';
import { printable } from './printable.ts';
import type { Context, Verb } from './verb.ts';

/** As it is published for people: `at` in ISO 8601. */
const PublishedEvent = v.object({ at: v.string(), kind: v.string(), subject: v.string(), text: v.string() });
type PublishedEvent = v.InferOutput<typeof PublishedEvent>;

/** `mesq events [-f]`: what the leader remembers, and then what happens. */
export const events: Verb = {
  examples: ['mesq events', 'mesq events -f --json | jq .text'],
  exits: { 0: 'also after Ctrl-C, and once nobody reads any more' },
  configure: (command) => {
    command.option('-f, --follow', 'go on as things happen');
  },
  run: async (context, command) => {
    const connection = await context.connect();
    if (connection instanceof Fault) return connection;
    const follow = command.opts<{ follow?: boolean }>().follow === true;
    const { json, prefix } = context.options;
    const { out } = context.terminal;
    const live: PublishedEvent[] = [];
    const told = new Set<string>();
    let arrived: (() => void) | undefined;
    if (follow) {
      // Before asking for the past: between the two, nothing is missed.
      await connection.bus.subscribe(topicOf(prefix, { kind: 'events' }), 0, ({ payload }) => {
        const event = readEvent(payload);
        if (event !== undefined) live.push(event);
        arrived?.();
      });
    }
    const answer = await connection.client.request('events', {}, { timeoutMs: context.answerMs() });
    if (answer instanceof Fault) return answer;
    const past = answer.events.map((event) => ({ ...event, at: isoTime(event.at) ?? '' }));
    if (json && !follow) {
      await out.write(`${JSON.stringify(past)}\n`);
      return 0;
    }
    for (const event of past) {
      told.add(JSON.stringify(keyOf(event)));
      if (!(await print(context, event))) return 0;
    }
    if (!follow) return 0;
    let interrupted = false;
    context.terminal.onSignal('SIGINT', () => {
      interrupted = true;
      arrived?.();
    });
    while (!interrupted) {
      for (const event of live.splice(0)) {
        if (told.delete(JSON.stringify(keyOf(event)))) continue;
        if (!(await print(context, event))) return 0;
      }
      if (live.length > 0 || interrupted) continue;
      await new Promise<void>((resolve) => {
        arrived = resolve;
      });
    }
    return 0;
  },
};

function keyOf({ at, kind, subject, text }: PublishedEvent): string[] {
  return [at, kind, subject, text];
}

/** False once nobody reads. */
function print({ options, terminal }: Context, event: PublishedEvent): Promise<boolean> {
  const { at, kind, subject, text } = event;
  if (options.json) return terminal.out.write(`${JSON.stringify(event)}\n`);
  return terminal.out.write(`${at}  ${printable(kind).padEnd(10)} ${printable(subject)}  ${printable(text)}\n`);
}

function readEvent(payload: Uint8Array): PublishedEvent | undefined {
  try {
    const parsed = v.safeParse(PublishedEvent, JSON.parse(new TextDecoder().decode(payload)));
    return parsed.success ? parsed.output : undefined;
  } catch {
    return undefined;
  }
}
