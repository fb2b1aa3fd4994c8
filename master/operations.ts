import type { Timer } from '../io/clock.ts';
import { randomWord } from '../io/random.ts';
import type { Fault } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { OperationStatus } from '../protocol/operations.ts';
import { shortened } from '../protocol/shortened.ts';
import type { FrameworkSessions } from './framework-sessions.ts';
import type { Leader } from './leader.ts';
import type { Offering } from './offering.ts';
import type { Step } from './offers/accept.ts';
import type { RegistryEvent } from './registry/events.ts';
import { type OperationRecord, operationKey } from './registry/registry.ts';

type Operate = Extract<Step, { kind: 'operate' }>;
type Operated = Extract<RegistryEvent, { kind: 'OPERATED' }>;

/**
 * Operations on resources, from ACCEPT to the acknowledgement of their end. What was carried out is in the registry, and
 * told every `updateRetryMs` until it is acknowledged; what could not be is told once, and asked for it is unknown.
 */
export class Operations {
  readonly #leader: Leader;
  readonly #frameworks: FrameworkSessions;
  readonly #offering: Offering;
  #retry: Timer | undefined;

  constructor(leader: Leader, frameworks: FrameworkSessions, offering: Offering) {
    this.#leader = leader;
    this.#frameworks = frameworks;
    this.#offering = offering;
  }

  stop(): void {
    this.#retry?.cancel();
  }

  /** From here on the resources count as converted; should the registry refuse, they are counted anew. */
  propose(spent: { framework: string; role: string; agent: string }, steps: readonly Operate[]): void {
    const leader = this.#leader;
    const request = randomWord(leader.world.random, 12);
    for (const { conversion } of steps) this.#offering.convert(request, spent, conversion);
    leader.propose({
      kind: 'OPERATE',
      ...spent,
      epoch: leader.registry.agents.get(spent.agent)?.epoch ?? 0,
      operations: steps.map(({ operation }) => operation),
      request,
      nowMs: leader.wallMs(),
    });
  }

  applied({ framework, agent, request, outcomes }: Operated): void {
    this.#offering.converted(request, agent);
    for (const { operation, outcome } of outcomes) {
      if (outcome === undefined) continue;
      if ('code' in outcome) this.failed(framework, operation === undefined ? {} : { id: operation }, outcome);
      else if (outcome.state !== 'OPERATION_PENDING') this.ended(outcome);
    }
  }

  ended(operation: OperationRecord): void {
    this.#tell(operation.framework, [this.#statusOf(operation)]);
    this.#arm();
  }

  /** It had no effect: told once, if it has a name; if not, as an ERROR. One that was carried out before is told as it was. */
  failed(framework: string, { id, type }: { id?: string | undefined; type?: string }, fault: Fault): void {
    if (type === 'LAUNCH' || type === 'LAUNCH_GROUP') return;
    if (id === undefined) return this.#frameworks.send(framework, { type: 'ERROR', fault });
    const known = this.#leader.registry.operations.get(operationKey(framework, id));
    if (known !== undefined) return this.#tell(framework, [this.#statusOf(known)]);
    const state = GONE.has(fault.code) ? 'OPERATION_DROPPED' : 'OPERATION_ERROR';
    const message = shortened(fault.message, LIMITS.messageLength);
    this.#tell(framework, [{ operation: id, uuid: 'none', state, message, acknowledge: false }]);
  }

  /** A framework has subscribed: it hears what it has not acknowledged. */
  repeat(framework: string): void {
    const ended = [...this.#of(framework)].filter(({ state }) => state !== 'OPERATION_PENDING');
    this.#tell(
      framework,
      ended.map((operation) => this.#statusOf(operation)),
    );
    if (ended.length > 0) this.#arm();
  }

  /** Always answers. */
  reconcile(framework: string, asked: readonly { operation: string; agent?: string | undefined }[]): void {
    const answers: OperationStatus[] =
      asked.length === 0
        ? [...this.#of(framework)].map((operation) => this.#statusOf(operation))
        : asked.map((one) => this.#answer(framework, one));
    this.#tell(framework, answers);
  }

  #answer(framework: string, { operation, agent }: { operation: string; agent?: string | undefined }): OperationStatus {
    const { registry } = this.#leader;
    const known = registry.operations.get(operationKey(framework, operation));
    if (known !== undefined) return this.#statusOf(known);
    const at = agent === undefined ? undefined : registry.agents.get(agent)?.state;
    const state =
      at === 'gone'
        ? 'OPERATION_GONE_BY_OPERATOR'
        : at === 'unreachable'
          ? 'OPERATION_UNREACHABLE'
          : 'OPERATION_UNKNOWN';
    return { operation, uuid: 'none', state, acknowledge: false };
  }

  #statusOf({ operation, uuid, state, message, agent, converted }: OperationRecord): OperationStatus {
    const known = this.#leader.registry.agents.get(agent);
    const isPending = state === 'OPERATION_PENDING';
    return {
      operation,
      uuid,
      state: isPending && known?.state === 'unreachable' ? 'OPERATION_UNREACHABLE' : state,
      agent,
      converted,
      acknowledge: !isPending,
      ...(known === undefined ? {} : { agentName: known.name }),
      ...(message === undefined ? {} : { message }),
    };
  }

  *#of(framework: string): Generator<OperationRecord> {
    for (const operation of this.#leader.registry.operations.values())
      if (operation.framework === framework) yield operation;
  }

  #tell(framework: string, updates: readonly OperationStatus[]): void {
    if (!this.#frameworks.active(framework)) return;
    this.#frameworks.sendParts(framework, updates, (part) => ({ type: 'UPDATE_OPERATION_STATUS', updates: part }));
  }

  #arm(): void {
    const { clock, times } = this.#leader.world;
    this.#retry ??= clock.after(times.updateRetryMs, () => {
      this.#retry = undefined;
      const overdue = this.#leader.wallMs() - times.updateRetryMs;
      for (const operation of this.#leader.registry.operations.values()) {
        if (operation.state === 'OPERATION_PENDING' || !this.#frameworks.active(operation.framework)) continue;
        this.#arm();
        if (operation.sinceMs <= overdue) this.#tell(operation.framework, [this.#statusOf(operation)]);
      }
    });
  }
}

/** The offer, or the agent's session, was not there any more: nothing was wrong with the operation. */
const GONE: ReadonlySet<string> = new Set(['OFFER_GONE', 'NOT_REGISTERED', 'LIMIT']);
