import { applyGone, applyReconcile, applyRegister, applyReport, applyUnreachable } from './apply-agents.ts';
import { applyRemoveFramework, applySubscribe } from './apply-frameworks.ts';
import { applyHeedHealth } from './apply-health.ts';
import { applyJoin } from './apply-joins.ts';
import { applyAcknowledgeOperation, applyOperate, applyVolumesRemoved } from './apply-operations.ts';
import {
  applyCallOffWindow,
  applyDrain,
  applyEvict,
  applyReserve,
  applyResume,
  applyScheduleDrain,
  applySetQuota,
  applySetWeight,
} from './apply-operator.ts';
import { applyStore } from './apply-store.ts';
import { applyAcknowledge, applyEnd, applyKill, applyLaunch, applyUpdates } from './apply-tasks.ts';
import { applyCreateToken, applyRevokeToken } from './apply-tokens.ts';
import type { Command } from './commands.ts';
import type { RegistryEvent } from './events.ts';
import type { Registry } from './registry.ts';

/** Where in the log a command stands. */
export interface Position {
  readonly index: number;
  readonly term: number;
}

/** Applies one committed command. Deterministic: the same commands in the same order give the same registry. */
export function apply(registry: Registry, position: Position, command: Command): RegistryEvent[] {
  registry.index = position.index;
  registry.term = position.term;
  switch (command.kind) {
    case 'CREATE_CLUSTER':
      registry.cluster = { uuid: command.uuid, generation: command.generation, createdMs: command.nowMs };
      return [{ kind: 'CLUSTER_CREATED' }];
    case 'REGISTER_AGENT':
      return applyRegister(registry, position.index, command);
    case 'REPORT_AGENT':
      return applyReport(registry, command);
    case 'RECONCILE_AGENT':
      return applyReconcile(registry, command);
    case 'AGENT_UNREACHABLE':
      return applyUnreachable(registry, command);
    case 'AGENT_GONE':
      return applyGone(registry, command);
    case 'DRAIN_AGENT':
      return applyDrain(registry, command);
    case 'SCHEDULE_DRAIN':
      return applyScheduleDrain(registry, command);
    case 'CALL_OFF_WINDOW':
      return applyCallOffWindow(registry, command);
    case 'RESUME_AGENT':
      return applyResume(registry, command);
    case 'HEED_HEALTH':
      return applyHeedHealth(registry, command);
    case 'EVICT_AGENT':
      return applyEvict(registry, command);
    case 'RESERVE':
    case 'UNRESERVE':
      return applyReserve(registry, command);
    case 'OPERATE':
      return applyOperate(registry, position.index, command);
    case 'VOLUMES_REMOVED':
      return applyVolumesRemoved(registry, command);
    case 'ACKNOWLEDGE_OPERATION':
      return applyAcknowledgeOperation(registry, command);
    case 'SET_WEIGHT':
      return applySetWeight(registry, command);
    case 'SET_QUOTA':
      return applySetQuota(registry, command);
    case 'SUBSCRIBE_FRAMEWORK':
      return applySubscribe(registry, command);
    case 'REMOVE_FRAMEWORK':
      return applyRemoveFramework(registry, command);
    case 'LAUNCH':
      return applyLaunch(registry, command);
    case 'UPDATE_TASKS':
      return applyUpdates(registry, command);
    case 'END_TASKS':
      return applyEnd(registry, command);
    case 'ACKNOWLEDGE':
      return applyAcknowledge(registry, command);
    case 'KILL':
    case 'KILL_ATTEMPTS':
      return applyKill(registry, command);
    case 'STORE':
      return applyStore(registry, command);
    case 'CREATE_TOKEN':
      return applyCreateToken(registry, command);
    case 'JOIN_AGENT':
      return applyJoin(registry, command);
    case 'REVOKE_TOKEN':
      return applyRevokeToken(registry, command);
  }
}
