import type { MovableBus, Will } from '../io/bus.ts';
import type { Clock, Timer } from '../io/clock.ts';
import type { Launcher } from '../io/launcher.ts';
import type { Log } from '../io/log.ts';
import type { OutputFile } from '../io/output-file.ts';
import { type Random, randomWord } from '../io/random.ts';
import { type Storage, StorageError } from '../io/storage.ts';
import type { Identity } from '../protocol/agent-link.ts';
import { cut } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { TaskInfo, TaskStatus } from '../protocol/task.ts';
import { topicOf } from '../protocol/topics.ts';
import { hasEnded, runName } from './checkpoint/state.ts';
import { DurableState } from './durable-state.ts';
import { OutputStreams } from './output-streams.ts';
import { isSignificant, type Reported } from './reporting/significance.ts';
import { Runs } from './runs.ts';
import { type Command, Session } from './session.ts';
import { Outbox } from './updates/outbox.ts';

/** How often the machine is looked at again. */
const PROBE_MS = 300_000;

export interface AgentOptions {
  readonly name: string;
  readonly prefix: string;
  readonly urls: readonly string[];
  readonly identity: Identity;
  readonly boot: string;
  readonly hostname: string;
  readonly metered: boolean;
  readonly reported: Reported;
  /** Looks at the machine again; absent where nothing about it can change. */
  readonly probe?: () => Promise<Reported>;
  /** Connects under the will it is given, as this agent id. */
  readonly connect: (agent: string, will: () => Will) => MovableBus;
  readonly storage: Storage;
  readonly launcher: Launcher;
  readonly output: (folder: string, stream: 'stdout' | 'stderr') => OutputFile;
  readonly pathOf: (folder: string) => string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** A person must act: it was refused, and never registered in this process. */
  readonly onRefused: (fault: Fault) => void;
}

/** A running agent. */
export interface Agent {
  readonly agent: string;
  /** Leaves politely; its tasks go on. */
  stop(): Promise<void>;
}

/**
 * One agent: persists what it accepts before it starts it, and what it reports before it sends it. It needs nobody: what
 * it has accepted goes on without a master, and after a reboot too, where the restart policy says so.
 */
export async function startAgent(options: AgentOptions): Promise<Agent | Fault> {
  const durable = await DurableState.open(options.storage);
  if (durable instanceof Fault) return durable;
  const agent = durable.state.agent ?? randomWord(options.random, 12);
  if (durable.state.agent === undefined) await durable.commit([{ kind: 'AGENT', agent }]);
  const running = new RunningAgent(options, agent, durable);
  await running.start();
  return running;
}

class RunningAgent implements Agent {
  readonly agent: string;
  readonly #options: AgentOptions;
  readonly #durable: DurableState;
  readonly #runs: Runs;
  readonly #outbox = new Outbox();
  readonly #streams: OutputStreams;
  readonly #session: Session;
  readonly #bus: MovableBus;
  /** uuid → where its acknowledgement goes. */
  readonly #sent = new Map<string, { run: string; sequence: number }>();
  #flushing = false;
  #retry: Timer | undefined;
  #probing: Timer | undefined;
  #reported: Reported;

  constructor(options: AgentOptions, agent: string, durable: DurableState) {
    const { name, prefix, clock, random, log } = options;
    this.agent = agent;
    this.#options = options;
    this.#durable = durable;
    this.#reported = options.reported;
    this.#runs = new Runs(
      {
        clock,
        random,
        log,
        launcher: options.launcher,
        durable,
        output: options.output,
        agentName: name,
        boot: options.boot,
        pathOf: options.pathOf,
      },
      (run, status) => this.#report(run, status),
      (run) => this.#ended(run),
    );
    this.#bus = options.connect(agent, () => this.#session.presence(false));
    this.#streams = new OutputStreams({
      find: (framework, task, attempt, stream) => {
        const run = durable.state.runs.get(runName(framework, task, attempt));
        if (run === undefined) return undefined;
        return { file: options.output(this.#runs.folderOf(run), stream), alive: () => this.#runs.alive(run.run) };
      },
      send: (payload) => this.#bus.publish(topicOf(prefix, { kind: 'agentBulk', name }), payload, { qos: 1 }),
    });
    this.#session = new Session(
      {
        bus: this.#bus,
        clock,
        random,
        log,
        storage: options.storage,
        durable,
        prefix,
        name,
        agent,
        incarnation: randomWord(random, 16),
        identity: options.identity,
        boot: options.boot,
        hostname: options.hostname,
        metered: options.metered,
        urls: options.urls,
      },
      options.reported,
      {
        established: () => this.#established(),
        lost: () => this.#streams.stop(),
        command: (command) => this.#command(command),
        refused: options.onRefused,
      },
    );
  }

  async start(): Promise<void> {
    const { state } = this.#durable;
    for (const run of state.runs.values()) for (const status of run.unacknowledged) this.#post(run.run, status);
    // Before any master is in reach: it needs nobody to go on with what it has accepted.
    await this.#runs.adopt(state.boot !== '' && state.boot !== this.#options.boot);
    await this.#session.start();
    this.#armProbe();
  }

  async stop(): Promise<void> {
    this.#retry?.cancel();
    this.#probing?.cancel();
    this.#runs.stop();
    this.#streams.stop();
    await this.#session.stop();
    await this.#options.launcher.close();
    await this.#durable.close();
  }

  #established(): void {
    this.#outbox.reset();
    this.#flush();
  }

  #command(command: Command): void {
    switch (command.type) {
      case 'RUN':
        void this.#accept(command.tasks, command.epoch);
        return;
      case 'KILL':
        for (const { framework, task, attempt, graceMs } of command.tasks) {
          const run = this.#durable.state.runs.get(runName(framework, task, attempt));
          if (run !== undefined) this.#runs.kill(run, graceMs ?? run.info.killGraceMs);
        }
        return;
      case 'ACKNOWLEDGE':
        return this.#acknowledged(command.updates);
      case 'RECONCILE':
        return this.#session.tasks(command.request);
      case 'READ':
        this.#streams
          .read(command)
          .catch((error: unknown) => this.#options.log.debug('output not read', { error: String(error) }));
        return;
      case 'SHUTDOWN':
        this.#options.log.error(command.fault.message, { code: command.fault.code, hint: command.fault.hint });
        for (const run of this.#durable.state.runs.values()) if (!hasEnded(run)) this.#runs.kill(run, 0);
        return;
    }
  }

  /** Accepts durably, answers, then starts. What is known already is only answered again. */
  async #accept(tasks: readonly { framework: string; info: TaskInfo }[], epoch: number): Promise<void> {
    const { runs } = this.#durable.state;
    const fresh = tasks.filter(({ framework, info }) => !runs.has(runName(framework, info.task, info.attempt)));
    const keys = (some: typeof tasks) =>
      some.map(({ framework, info }) => ({ framework, task: info.task, attempt: info.attempt }));
    try {
      await this.#durable.promise(fresh.map(({ framework, info }) => ({ kind: 'ACCEPTED', framework, info, epoch })));
    } catch (error) {
      const full = error instanceof StorageError && error.code === 'ENOSPC';
      this.#options.log.error('launches refused: the disk took no acceptance', { error: String(error) });
      const fault = new Fault(
        'DISK',
        full
          ? `the disk of agent ${this.#options.name} is full`
          : `the disk of agent ${this.#options.name} failed: ${String(error)}`,
      );
      this.#session.send({
        type: 'ACCEPTED',
        epoch,
        tasks: keys(tasks.filter((task) => !fresh.includes(task))),
        refused: keys(fresh).map((key) => ({ ...key, fault })),
      });
      return;
    }
    this.#session.send({ type: 'ACCEPTED', epoch, tasks: keys(tasks), refused: [] });
    const started = fresh.flatMap(({ framework, info }) => {
      const name = runName(framework, info.task, info.attempt);
      const run = this.#runs.alive(name) ? undefined : runs.get(name);
      return run === undefined ? [] : [run];
    });
    this.#runs.start(started);
    // A launch that comes again may be about a run whose end was not heard: it is told again.
    this.#flush();
  }

  #report(run: string, status: TaskStatus): void {
    this.#post(run, status);
    this.#flush();
  }

  #post(run: string, status: TaskStatus): void {
    this.#outbox.add(run, status);
    this.#sent.set(status.uuid, { run, sequence: status.sequence });
  }

  #ended(name: string): void {
    const run = this.#durable.state.runs.get(name);
    if (run !== undefined) this.#streams.ended(run.framework, run.info.task, run.info.attempt);
  }

  /** What a master has committed is forgotten; the journal hears of it with its next record. */
  #acknowledged(uuids: readonly string[]): void {
    for (const uuid of uuids) {
      const about = this.#sent.get(uuid);
      if (about === undefined) continue;
      this.#sent.delete(uuid);
      this.#outbox.acknowledge(about.run, about.sequence);
      this.#durable.later([{ kind: 'ACKNOWLEDGED', run: about.run, sequence: about.sequence }]);
      const run = this.#durable.state.runs.get(about.run);
      if (run !== undefined && hasEnded(run) && run.unacknowledged.length === 0) this.#runs.forgettable(run.run);
    }
  }

  /** Sends what is due, once for everything that became due in this turn of the loop. */
  #flush(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.#sendDue();
    });
  }

  #sendDue(): void {
    this.#retry?.cancel();
    this.#retry = undefined;
    if (!this.#session.established) return;
    const { clock } = this.#options;
    const due = this.#outbox.next(clock.monotonic());
    for (const updates of cut(due, LIMITS.partBytes, LIMITS.tasksPerMessage)) {
      if (updates.length > 0) this.#session.send({ type: 'UPDATE', epoch: this.#durable.state.epoch, updates });
    }
    const next = this.#outbox.nextMs();
    if (next !== undefined)
      this.#retry = clock.after(Math.max(1, Math.ceil(next - clock.monotonic())), () => this.#sendDue());
  }

  #armProbe(): void {
    const { clock, probe, log } = this.#options;
    if (probe === undefined) return;
    this.#probing = clock.after(PROBE_MS, () => {
      probe().then(
        (now) => {
          if (isSignificant(this.#reported, now)) {
            this.#reported = now;
            this.#session.report(now);
          }
          this.#armProbe();
        },
        (error: unknown) => {
          log.warn('machine not looked at', { error: String(error) });
          this.#armProbe();
        },
      );
    });
  }
}
