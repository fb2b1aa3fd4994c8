import type { MovableBus, Opening, Will } from '../io/bus.ts';
import type { Clock } from '../io/clock.ts';
import type { Compression, MessagePacking } from '../io/compression.ts';
import type { Digest } from '../io/digest.ts';
import type { Launcher } from '../io/launcher.ts';
import type { LineListener } from '../io/line-socket.ts';
import type { Log } from '../io/log.ts';
import type { OutputFile } from '../io/output-file.ts';
import type { Prober } from '../io/prober.ts';
import { type Random, randomWord } from '../io/random.ts';
import type { SandboxFiles } from '../io/sandbox-files.ts';
import type { SandboxShells } from '../io/sandbox-shells.ts';
import type { Storage } from '../io/storage.ts';
import type { VolumeFolders } from '../io/volume-folders.ts';
import { type Identity, isOtherMachine } from '../protocol/agent-link.ts';
import { Fault } from '../protocol/faults.ts';
import { add } from '../protocol/resource-arithmetic.ts';
import type { Resources } from '../protocol/resources.ts';
import { isTerminal, type TaskStatus } from '../protocol/task.ts';
import { topicOf } from '../protocol/topics.ts';
import { Acceptance, type ContainerWorld, type EarlyKill, nameOf } from './acceptance.ts';
import { Accounting, type Bookkeeping } from './accounting.ts';
import { BlobSource } from './blob-source.ts';
import { hasEnded, type Run, runName } from './checkpoint/state.ts';
import { countedBus, countedSource, countedStorage, countStarts } from './counted-world.ts';
import { CHECKPOINT_FOLDER, type DurableState } from './durable-state.ts';
import { ExecSessions } from './exec-sessions.ts';
import { besideRun } from './executors/beside-run.ts';
import { Executors } from './executors/executors.ts';
import { groupMates } from './group-mates.ts';
import { ImageKeeper, imagesNeeded } from './image-keeper.ts';
import { type Lonely, LonelyStops } from './lonely-stops.ts';
import { MachineWatch, type WatchedMachine } from './machine-watch.ts';
import { openState } from './open-state.ts';
import { OutputStreams } from './output-streams.ts';
import { PresenceNotes } from './presence.ts';
import { Reports } from './reports.ts';
import { type ArtifactOptions, RunArtifacts } from './run-artifacts.ts';
import { Runs } from './runs.ts';
import { type Command, Session } from './session.ts';
import { sharedOutputs } from './shared-outputs.ts';
import type { Because } from './tasks/plan.ts';
import { type VolumeKey, Volumes } from './volumes.ts';

export interface AgentOptions {
  readonly name: string;
  readonly prefix: string;
  readonly urls: readonly string[];
  readonly identity: Identity;
  readonly boot: string;
  readonly hostname: string;
  readonly metered: boolean;
  /** What the machine has, how it is, and how to ask again. */
  readonly machine: AgentMachine;
  /** Connects under the will it is given, as this agent id, and begins with `opening` where the bus can. */
  readonly connect: (agent: string, will: () => Will, opening: (url: string) => Opening | undefined) => MovableBus;
  readonly storage: Storage;
  readonly launcher: Launcher;
  /** Where executors connect to. */
  readonly lines: LineListener;
  /** Asks tasks that have checks. */
  readonly prober: Prober;
  readonly output: (folder: string, stream: 'stdout' | 'stderr') => OutputFile;
  readonly sandboxes: SandboxFiles;
  /** Lets people in beside tasks; absent: nobody. */
  readonly shells?: SandboxShells;
  readonly pathOf: (folder: string) => string;
  readonly volumes: VolumeFolders;
  /** What runs containers, though it be away just now; undefined where nothing ever does. */
  readonly containers?: ContainerWorld;
  /** Undefined where tasks have no sandbox to put anything into. */
  readonly artifacts?: ArtifactOptions;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** The agent cannot go on, and the process is to stop: the disk failed, a person must act, or it was declared gone. */
  readonly onFailed: (fault: Fault) => void;
  /** Makes logs and files smaller on their way; absent: they go as they are. */
  readonly deflate?: Compression['deflate'];
  /** The same on a metered link, where the leader takes it. */
  readonly brotli?: Compression['brotli'];
  /** Makes messages shorter on a metered link. */
  readonly packing?: MessagePacking;
  /** Bytes a day for logs, files and whatever else is bulky; absent: no budget. */
  readonly bulkBudget?: number;
  /** Absent: what only a process can tell is not counted. */
  readonly bookkeeping?: Bookkeeping;
  /** A session with the leader began, or ended. */
  readonly onContact?: (contact: boolean) => void;
}

export type AgentMachine = Pick<WatchedMachine, 'found' | 'probe' | 'sample' | 'reading' | 'thresholds'>;

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
  const { bulkBudget, bookkeeping } = options;
  const accounting = new Accounting({ ...options, bulkBudget, bookkeeping });
  const storage = countedStorage(options.storage, accounting.accounts, CHECKPOINT_FOLDER);
  const durable = await openState({
    storage,
    clock: options.clock,
    launcher: options.launcher,
    log: options.log,
    onFailed: (error) =>
      options.onFailed(new Fault('DISK', `the data folder of agent ${options.name} failed: ${String(error)}`)),
  });
  if (durable instanceof Fault) return durable;
  const { identity } = durable.state;
  if (identity !== undefined && isOtherMachine(identity, options.identity)) {
    await durable.close();
    // Work that goes on by itself, before any master was seen, would go on twice.
    return new Fault('CLONED', `the data folder of agent ${options.name} comes from another machine`);
  }
  const agent = durable.state.agent ?? randomWord(options.random, 12);
  // A serial number that only root may read is kept from when it was read.
  const bound = {
    machine: options.identity.machine || (identity?.machine ?? ''),
    serial: options.identity.serial || (identity?.serial ?? ''),
  };
  if (bound.machine !== identity?.machine || bound.serial !== identity.serial)
    await durable.commit([{ kind: 'AGENT', agent, identity: bound }]);
  const running = new RunningAgent({ ...options, storage }, agent, durable, accounting);
  return (await running.start()) ?? running;
}

class RunningAgent implements Agent {
  readonly agent: string;
  readonly #options: AgentOptions;
  readonly #durable: DurableState;
  readonly #runs: Runs;
  readonly #executors: Executors;
  readonly #volumes: Volumes;
  readonly #artifacts: RunArtifacts;
  readonly #acceptance: Acceptance;
  readonly #reports: Reports;
  #hasSession = false;
  readonly #lonely: LonelyStops;
  readonly #streams: OutputStreams;
  readonly #exec: ExecSessions;
  readonly #session: Session;
  readonly #bus: MovableBus;
  readonly #watch: MachineWatch;
  readonly #accounting: Accounting;
  /** Declared gone: it ends when its last task has. */
  #gone: Fault | undefined;

  constructor(options: AgentOptions, agent: string, durable: DurableState, accounting: Accounting) {
    const { name, prefix, clock, random, log } = options;
    this.agent = agent;
    const { artifacts } = options;
    const sources =
      artifacts === undefined
        ? []
        : [
            this.#uploads(options, artifacts.digest),
            ...artifacts.sources.map((source) => countedSource(source, accounting.accounts)),
          ];
    this.#options =
      artifacts === undefined
        ? options
        : { ...options, artifacts: { budget: accounting.budget, ...artifacts, sources } };
    this.#durable = durable;
    this.#accounting = accounting;
    countStarts(options.launcher, accounting.accounts);
    this.#lonely = new LonelyStops(clock, () => this.#stoppedAlone());
    const output = sharedOutputs(options.output);
    const presence = new PresenceNotes(prefix, name, randomWord(random, 16));
    this.#artifacts = new RunArtifacts({
      ...{ options: this.#options.artifacts, clock, log, boot: options.boot, metered: options.metered },
      alone: () => !this.#session.established,
      runs: () => durable.state.runs.values(),
    });
    const world = {
      clock,
      random,
      log,
      launcher: options.launcher,
      durable,
      output,
      agentName: name,
      boot: options.boot,
      pathOf: options.pathOf,
      volumesRoot: options.volumes.root,
      devices: () => this.#watch.devices,
      artifacts: this.#artifacts,
    };
    this.#volumes = new Volumes(options.volumes, (volume) => this.#uses(volume));
    const reported = (run: string, status: TaskStatus): void => this.#report(run, status);
    const send: Session['send'] = (message, isAnswered) => this.#session.send(message, isAnswered);
    this.#acceptance = new Acceptance(
      {
        ...{ clock, log, durable, agentName: name, metered: options.metered, send },
        ...{ containers: options.containers, artifacts: this.#options.artifacts, volumes: this.#volumes },
        found: () => this.#watch,
        forgettable: () => this.#runs.kept,
      },
      {
        accepted: (run, kill) => this.#accepted(run, kill),
        refused: (launch) => this.#endMates({ ...launch, run: nameOf(launch) }, 'was refused here'),
        known: (runs) => {
          for (const run of runs) this.#reports.resend(run);
          this.#reports.flush();
        },
      },
    );
    this.#reports = new Reports({
      ...{ clock, durable, metered: options.metered, send },
      established: () => this.#session.established,
      told: (tasks) => this.#acceptance.reported(tasks),
    });
    const onReport = accounting.accounts.report.bind(accounting.accounts);
    this.#watch = new MachineWatch(
      { ...options.machine, clock, log, metered: options.metered, onReport, used: () => this.#used() },
      (now) => this.#session.report(now),
    );
    const { containers, launcher, storage } = options;
    if (containers !== undefined)
      new ImageKeeper({ ...containers, launcher, storage, log, needed: () => imagesNeeded(durable.state) });
    this.#runs = new Runs(
      { ...world, prober: options.prober },
      { reported, startEnded: (run) => this.#startEnded(run) },
    );
    this.#executors = new Executors(
      { ...world, lines: options.lines },
      {
        reported,
        ended: (run) => this.#startEnded(run),
        send: (word) => void this.#session.send({ ...word, epoch: durable.state.epoch }),
      },
    );
    this.#bus = countedBus(
      options.connect(
        agent,
        () => presence.will(),
        (url) => this.#opening(url),
      ),
      accounting.accounts,
    );
    this.#streams = new OutputStreams({
      clock,
      find: (framework, task, attempt, stream, restart) => {
        const run = durable.state.runs.get(runName(framework, task, attempt));
        if (run === undefined) return undefined;
        const folder = this.#executors.folderOf(run);
        if (folder !== undefined) return { file: output(folder, stream), alive: () => !hasEnded(run) };
        const start = this.#runs.startOf(run, restart);
        return start && { file: output(start.folder, stream), alive: start.alive };
      },
      openFile: (framework, task, attempt, path) => {
        const run = durable.state.runs.get(runName(framework, task, attempt));
        return run === undefined
          ? Promise.resolve(undefined)
          : options.sandboxes.open(this.#executors.filesOf(run) ?? this.#runs.folderOf(run), path);
      },
      send: (payload) => this.#bus.publish(topicOf(prefix, { kind: 'agentBulk', name }), payload, { qos: 1 }),
      budget: accounting.budget,
      // Where bytes cost nothing, neither may the processor's time.
      deflate: deflater(options),
      brotli: options.metered ? options.brotli : undefined,
    });
    this.#exec = new ExecSessions({
      ...{ shells: options.shells, clock, log, agentName: name, incarnation: presence.incarnation },
      find: (framework, task, attempt) => {
        const run = durable.state.runs.get(runName(framework, task, attempt));
        if (run === undefined) return undefined;
        return besideRun(run, this.#executors.folderOf(run) ?? this.#runs.folderOf(run), { ...world, agent });
      },
      send: (payload) => this.#bus.publish(topicOf(prefix, { kind: 'agentBulk', name }), payload, { qos: 1 }),
      budget: accounting.budget,
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
        presence,
        identity: options.identity,
        boot: options.boot,
        hostname: options.hostname,
        metered: options.metered,
        packing: options.packing,
        urls: options.urls,
      },
      this.#watch.reported,
      {
        established: () => this.#established(),
        lost: () => {
          this.#streams.stop();
          this.#lonely.alone();
          options.onContact?.(false);
        },
        command: (command) => this.#command(command),
        refused: options.onFailed,
      },
    );
    this.#hasSession = true;
  }

  /** The first connection may begin before there is a session that could be taken up. */
  #opening(url: string): Opening | undefined {
    const opening = this.#hasSession ? this.#session.opening(url) : undefined;
    if (opening !== undefined)
      this.#accounting.accounts.carried('controlUp', opening.payload.length, opening.topic.length, 0);
    return opening;
  }

  /** What was uploaded to the masters. */
  #uploads({ clock, prefix, name }: AgentOptions, digest: Digest): BlobSource {
    return new BlobSource({
      ...{ clock, digest },
      listen: (handler) =>
        this.#bus.subscribe(topicOf(prefix, { kind: 'agentBlocks', name }), 1, ({ payload }) => handler(payload)),
      ask: (blob, blocks) =>
        void this.#session.send({ type: 'READ_BLOCKS', epoch: this.#durable.state.epoch, blob, blocks }),
    });
  }

  async start(): Promise<Fault | undefined> {
    const { state } = this.#durable;
    for (const run of state.runs.values()) for (const status of run.unacknowledged) this.#reports.post(run.run, status);
    // Before any master is in reach: it needs nobody to go on with what it has accepted.
    const rebooted = state.boot !== '' && state.boot !== this.#options.boot;
    await this.#runs.adopt(rebooted);
    await this.#executors.adopt(rebooted);
    // The agent may have died between the end of one and the kill of the others.
    for (const run of [...state.runs.values()]) if (run.latest !== undefined) this.#endGroup(run, run.latest);
    this.#lonely.alone();
    const fault = await this.#session.start();
    if (fault !== undefined) await this.stop();
    else this.#watch.start();
    return fault;
  }

  async stop(): Promise<void> {
    this.#reports.stop();
    this.#acceptance.stop();
    this.#lonely.together();
    this.#watch.stop();
    this.#artifacts.stop();
    this.#runs.stop();
    await this.#executors.stop();
    this.#streams.stop();
    this.#exec.stop();
    await this.#session.stop();
    await this.#options.launcher.stop();
    await this.#durable.close();
  }

  #established(): void {
    this.#lonely.together();
    this.#reports.established();
    this.#executors.established();
    this.#exec.established();
    this.#options.onContact?.(true);
  }

  #command(command: Command): void {
    switch (command.type) {
      case 'RUN':
        void this.#acceptance.accept(command.tasks, command.epoch);
        return;
      case 'KILL':
        return this.#kill(command.tasks);
      case 'ACKNOWLEDGE':
        return this.#acknowledged(command.updates);
      case 'RECONCILE':
        return this.#session.tasks(command.request);
      case 'READ':
      case 'READ_FILE':
        this.#streams
          .read(command)
          .catch((error: unknown) => this.#options.log.debug('output not read', { error: String(error) }));
        return;
      case 'EXEC':
        return this.#exec.word(command);
      case 'ASK_STATS':
        this.#accounting.answer(command, this.#bus).then(
          (stats) => this.#session.send({ ...stats, epoch: this.#durable.state.epoch }),
          (error: unknown) => this.#options.log.debug('stats not told', { error: String(error) }),
        );
        return;
      case 'SHUTDOWN':
        return this.#shutDown(command.fault);
      case 'MESSAGE':
        return this.#executors.message(command.framework, command.executor, command.data);
      case 'SHUTDOWN_EXECUTORS':
        return this.#executors.shutDown(command.executors);
      case 'DESTROY_VOLUMES':
        void this.#destroy(command.volumes, command.epoch);
        return;
    }
  }

  async #destroy(volumes: readonly VolumeKey[], epoch: number): Promise<void> {
    const removed = await this.#volumes.remove(volumes);
    for (const { volume, problem } of removed)
      if (problem !== undefined) this.#options.log.warn('volume not removed', { volume, problem });
    this.#session.send({ type: 'VOLUMES_REMOVED', epoch, volumes: removed });
  }

  #uses({ volume, role }: VolumeKey): boolean {
    const has = ({ info }: { info: Run['info'] }): boolean =>
      info.resources.some((one) => one.volume === volume && one.role === role);
    return [...this.#durable.state.runs.values()].some((run) => !hasEnded(run) && has(run));
  }

  *#stoppedAlone(): Generator<Lonely> {
    for (const run of this.#durable.state.runs.values()) {
      const afterMs = run.info.disconnect?.stopOnClientAfterMs;
      if (afterMs === undefined || hasEnded(run) || run.kill !== undefined) continue;
      const because: Because = {
        reason: 'AGENT_DISCONNECTED',
        message: `no master was in reach for ${Math.round(afterMs / 1_000)} s`,
      };
      yield { afterMs, stop: () => this.#end(run, run.info.killGraceMs, because) };
    }
  }

  #accepted(run: Run, kill: EarlyKill | undefined): void {
    if (run.info.executor === undefined) this.#runs.start(run);
    else this.#executors.start(run);
    if (kill !== undefined) this.#end(run, kill.graceMs, undefined, kill.tell);
    else if (this.#gone !== undefined) this.#end(run, run.info.killGraceMs);
  }

  /** What runs here has taken, and what is about to. */
  #used(): Resources {
    const { runs } = this.#durable.state;
    const parts = [
      ...[...runs.values()].filter((run) => !hasEnded(run)).map(({ info }) => info.resources),
      ...this.#acceptance.resources(),
    ];
    return parts.reduce<Resources>((sum, resources) => add(sum, resources), []);
  }

  /** `tell`: the framework hears TASK_KILLING; of an executor's task that is the executor's to say. */
  #end(run: Run, graceMs: number, because?: Because, tell = false): void {
    if (run.info.executor === undefined) this.#runs.kill(run, graceMs, because, tell);
    else this.#executors.kill(run, graceMs, because);
  }

  /** One member of a group that does not end well ends all. */
  #endGroup(run: Run, { state }: TaskStatus): void {
    if (isTerminal(state) && state !== 'TASK_FINISHED') this.#endMates(run, `became ${state}`);
  }

  #endMates(run: Pick<Run, 'run' | 'framework' | 'info'>, what: string): void {
    if (run.info.group === undefined) return;
    const message = `task ${run.info.task} of its group ${what}`;
    for (const mate of groupMates(this.#durable.state.runs.values(), run))
      if (!hasEnded(mate) && mate.kill === undefined)
        this.#end(mate, mate.info.killGraceMs, { reason: 'TASK_GROUP_FAILED', message });
  }

  #kill(tasks: Extract<Command, { type: 'KILL' }>['tasks']): void {
    let unknown = false;
    for (const { framework, task, attempt, graceMs, tell = false } of tasks) {
      const name = runName(framework, task, attempt);
      const run = this.#durable.state.runs.get(name);
      if (this.#acceptance.kill(name, graceMs, tell)) continue;
      if (run === undefined) unknown = true;
      else if (hasEnded(run)) this.#reports.resend(name);
      else this.#end(run, graceMs ?? run.info.killGraceMs, undefined, tell);
    }
    // The master takes for running what is not here: it hears what is.
    if (unknown) this.#session.tasks(randomWord(this.#options.random, 12));
    this.#reports.flush();
  }

  /** Everything is stopped, then the agent: its place in the cluster has been given away. */
  #shutDown(fault: Fault): void {
    this.#gone = fault;
    this.#options.log.error(fault.message, { code: fault.code, hint: fault.hint });
    for (const run of this.#durable.state.runs.values()) this.#end(run, run.info.killGraceMs);
    this.#executors.shutDownAll();
    this.#endIfGone();
  }

  #endIfGone(): void {
    if (this.#gone !== undefined && this.#runs.size === 0 && this.#executors.size === 0)
      this.#options.onFailed(this.#gone);
  }

  #report(run: string, status: TaskStatus): void {
    // Before the master hears of the end, and gives away what it frees.
    if (isTerminal(status.state)) this.#watch.ended();
    this.#reports.post(run, status);
    this.#reports.flush();
    const about = this.#durable.state.runs.get(run);
    if (about !== undefined) this.#endGroup(about, status);
  }

  #startEnded(name: string | undefined): void {
    const run = name === undefined ? undefined : this.#durable.state.runs.get(name);
    if (run !== undefined) {
      this.#streams.ended(run.framework, run.info.task, run.info.attempt);
      this.#exec.taskEnded(run.framework, run.info.task, run.info.attempt);
    }
    this.#endIfGone();
  }

  #acknowledged(uuids: readonly string[]): void {
    for (const name of this.#reports.acknowledged(uuids)) {
      const run = this.#durable.state.runs.get(name);
      if (run !== undefined) this.#runs.forgettable(run);
    }
  }
}

/** Where bytes cost nothing, neither may the processor's time. */
function deflater({ deflate, metered }: AgentOptions): ((bytes: Uint8Array) => Promise<Uint8Array>) | undefined {
  return deflate === undefined ? undefined : (bytes) => deflate(bytes, metered ? 9 : 1);
}
