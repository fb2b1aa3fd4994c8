import { setTimeout as pause } from 'node:timers/promises';
import { type MemoryAgentListener, startMemoryAgent } from './memory-agent.ts';
import type { Answer, Question } from './memory-agents.ts';

/** A load process of bench/memory-agents.ts: starts the agents it is told of, and says how they are when asked. */
/** Agents that may be on their way to their first session. */
const JOINING = 20;
const established = new Map<string, number>();
let starts = 0;
let failures = 0;
let waiting: (() => void) | undefined;

function listenerOf(name: string): MemoryAgentListener {
  return {
    established: () => {
      established.set(name, Date.now());
      waiting?.();
    },
    started: () => {
      starts++;
      waiting?.();
    },
    failed: () => {
      failures++;
    },
  };
}

async function answer(question: Question): Promise<Answer> {
  if (question.kind === 'start') {
    const { agents } = question;
    for (const [at, { name, way }] of agents.entries()) {
      await startMemoryAgent(name, way, listenerOf(name));
      // The herd is to come when the leader is killed, not now.
      while (at - established.size > JOINING) await pause(5);
    }
    return { starts, failures, establishedMs: [] };
  }
  const since = question.sinceMs;
  const done = (): boolean =>
    starts >= question.starts && [...established.values()].filter((ms) => ms >= since).length >= question.count;
  await new Promise<void>((resolve) => {
    waiting = () => {
      if (!done()) return;
      waiting = undefined;
      resolve();
    };
    waiting();
  });
  return { starts, failures, establishedMs: [...established.values()].filter((ms) => ms >= since) };
}

process.on('message', (question: Question) => {
  answer(question).then(
    (said) => process.send?.(said),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
