import type { ExecutorStart } from '../checkpoint/state.ts';

export interface ExecutorPlace {
  /** Of the agent: its id, and its name. */
  readonly agent: string;
  readonly agentName: string;
  /** Absolute. */
  readonly sandbox: string;
  /** Below it, a volume is at `ROLE/-ID`. */
  readonly volumes: string;
  /** Where to connect to, from the sandbox. */
  readonly socket: string;
}

/** What the framework gave its executor, and what the agent alone knows: that, nobody else's word replaces. */
export function executorEnvironmentOf(
  { framework, info, secret }: ExecutorStart,
  { agent, agentName, sandbox, volumes, socket }: ExecutorPlace,
): Record<string, string> {
  return {
    ...info.environment,
    MESQ_FRAMEWORK: framework,
    MESQ_EXECUTOR_ID: info.executor,
    MESQ_EXECUTOR_SOCKET: socket,
    MESQ_EXECUTOR_SECRET: secret,
    MESQ_AGENT: agentName,
    MESQ_AGENT_ID: agent,
    MESQ_SANDBOX: sandbox,
    MESQ_VOLUMES: volumes,
  };
}
