import type { Bus } from '../io/bus.ts';
import type { Clock } from '../io/clock.ts';
import type { Compression, MessagePacking } from '../io/compression.ts';
import type { Digest } from '../io/digest.ts';
import type { Log } from '../io/log.ts';
import type { Random } from '../io/random.ts';
import { randomWord } from '../io/random.ts';
import type { Storage } from '../io/storage.ts';
import { assert, Fault } from '../protocol/faults.ts';
import { LIMITS, TIMES } from '../protocol/limits.ts';
import type { CredentialRole } from '../protocol/operator.ts';
import type { Member } from '../protocol/raft.ts';
import { parseTopic, TOPICS, topicOf } from '../protocol/topics.ts';
import type { AllocatorOptions } from './allocator/allocator.ts';
import { LOG_FOLDER } from './backup.ts';
import { Blobs } from './blobs.ts';
import { Counters } from './counters.ts';
import type { Times, World } from './leader.ts';
import { announceLeader } from './leader-announcement.ts';
import { showLeaderless } from './leaderless-state.ts';
import { Leadership } from './leadership.ts';
import { openLog } from './open-log.ts';
import { NO_MEMBER } from './raft/objections.ts';
import type { Entry } from './raft/records.ts';
import { type PeerTraffic, RaftLink } from './raft-link.ts';
import { apply } from './registry/apply.ts';
import { type Command, CommandReader, encodeCommand, SINCE } from './registry/commands.ts';
import type { RegistryEvent } from './registry/events.ts';
import { emptyRegistry, type Registry } from './registry/registry.ts';
import { revokedBetween, revokedNames } from './registry/revocations.ts';
import { registryOf, snapshotSlices } from './registry/snapshot.ts';
import { Vocabularies } from './registry/vocabularies.ts';
import { StateMirror } from './state-mirror.ts';

/** Log bytes after which a snapshot is taken; a quiet cluster never takes one. */
const SNAPSHOT_BYTES = 8 * 1_048_576;
const NOTHING = new Uint8Array();
/** As many as a master says in two seconds at most, before it is said that it cannot be answered. */
const STRANGE_MESSAGES = 20;

export interface MasterOptions {
  readonly id: string;
  readonly prefix: string;
  /** Where peers reach this master, one URL a scheme or network. */
  readonly urls: readonly string[];
  /** The other masters that found the cluster with this one; where the log knows better, only their URLs count. */
  readonly peers?: readonly Member[];
  /** A connection to the broker of another master, authenticated as this one. Without, there can be no other. */
  readonly connectPeer?: (peer: Member, traffic: PeerTraffic) => Bus;
  readonly version: string;
  readonly bus: Bus;
  readonly storage: Storage;
  readonly clock: Clock;
  readonly random: Random;
  readonly digest: Digest;
  /** Absent: agents are not asked to deflate what they send. */
  readonly inflate?: Compression['inflate'];
  /** Absent: nor are those on metered links asked for Brotli. */
  readonly unbrotli?: Compression['unbrotli'];
  /** Absent: nobody is told that messages may be packed. */
  readonly packing?: MessagePacking;
  readonly log: Log;
  readonly lastPacketMs?: (agentName: string) => number | undefined;
  readonly disconnect?: (name: string) => void;
  /** Default: protocol/limits.ts TIMES. */
  readonly times?: Partial<Times>;
  /** What the allocator counts, and what is worth an offer. The same for every master of a cluster. */
  readonly allocation?: AllocatorOptions;
  /** Of the log on disk: bytes of a segment, and after how many a snapshot is taken. Default 4 and 8 MiB. */
  readonly logBytes?: { readonly segment: number; readonly snapshot: number };
  /** Bytes that this master gives to uploads; default LIMITS.blobBytes. */
  readonly blobBytes?: number;
  /** Called with each committed entry and the registry that it has made: an audit may compare masters. */
  readonly onApplied?: (entry: Entry, registry: Registry) => void;
  /** Called with each term won: the built-in frameworks start. Returns what stops them. */
  readonly onLeading?: (term: number) => () => void;
  /** The disk failed: the process must end; it recovers from what is durable. */
  readonly onFatal: (error: Error) => void;
}

/** A running master. */
export interface Master {
  /** Whose secret it is, by name: its role, or undefined. Used by the broker at CONNECT. */
  roleOf(name: string, secret: string): CredentialRole | undefined;
  /** True once all that was committed before this master started is applied: until then it does not know the tokens. */
  informed(): boolean;
  /** True where a name has a token: it may not connect without. */
  hasToken(name: string): boolean;
  /** The broker saw a connection of that principal end. */
  connectionLost(role: 'agent' | 'framework' | 'local', name: string): void;
  /** Rejections and oddities by reason. */
  readonly counters: Counters;
  stop(): Promise<void>;
}

/**
 * One master: the registry behind its log, and in terms that it leads, a {@link Leadership}. Everything that
 * changes the registry goes the same way: propose, commit (durable), apply, act. Resolves when all that was committed
 * before is applied: until then a master knows no tokens, and must let nobody in.
 */
export async function startMaster(options: MasterOptions): Promise<Master | Fault> {
  const { bus, prefix, clock, log } = options;
  const counters = new Counters();
  const { peers = [], connectPeer } = options;
  const self: Member = { id: options.id, urls: [...options.urls] };
  /** What was said at the start of a master's URLs is newer than what the log says. */
  const known = new Map([self, ...peers].map((member) => [member.id, member]));
  const located = (member: Member): Member => known.get(member.id) ?? member;
  let registry: Registry = emptyRegistry();
  const blobs = await Blobs.open({
    ...{ id: options.id, prefix, bus, clock, log, counters },
    ...{ storage: options.storage, digest: options.digest, capBytes: options.blobBytes },
    registry: () => registry,
    reached: () => link.reached(),
    busOf: (master) => link.blocksOf(master),
  });
  const world: World = {
    bus,
    clock,
    random: options.random,
    digest: options.digest,
    ...(options.inflate === undefined ? {} : { inflate: options.inflate }),
    ...(options.unbrotli === undefined ? {} : { unbrotli: options.unbrotli }),
    ...(options.packing === undefined ? {} : { packing: options.packing }),
    log,
    prefix,
    id: options.id,
    urls: options.urls,
    version: options.version,
    counters,
    lastPacketMs: options.lastPacketMs ?? (() => undefined),
    disconnect: options.disconnect ?? (() => undefined),
    times: { ...TIMES, ...options.times },
    allocation: options.allocation ?? {},
    quorum: {
      standing: () => durable.standing,
      urlsOf: (member) => located(member).urls,
      versionOf: (master) => link.versionOf(master),
      change: (change) => durable.change(change),
      transfer: (to) => durable.transfer(to),
    },
    blobs,
  };
  let leadership: Leadership | undefined;
  let stopFrameworks: (() => void) | undefined;
  let knows: () => void = () => undefined;
  /** All that was committed before is applied (or never will be: the disk failed). */
  const informed = new Promise<void>((resolve) => {
    knows = resolve;
  });
  let isInformed = false;
  let snapshotting = false;
  let reader = new CommandReader();
  const follow = (): void => {
    stopFrameworks?.();
    stopFrameworks = undefined;
    leadership?.stop();
    leadership = undefined;
  };
  const vocabularies = new Vocabularies();
  /** Masters that are none of the cluster, and how often each has spoken. */
  const strangers = new Map<string, number>();
  const propose = (command: Command): Fault | undefined => {
    const behind = vocabularies.without(SINCE[command.kind], durable.standing.membership, options.id);
    const entries =
      behind.length > 0 ? new Fault('VERSION', `not known to ${behind.join(', ')}`) : encodeCommand(command);
    let refused = entries instanceof Fault ? entries : undefined;
    for (const entry of entries instanceof Fault ? [] : entries) {
      const proposed = durable.propose(entry);
      if (proposed instanceof Fault) refused ??= proposed;
    }
    // Who asked asks again: nothing is awaited in memory alone.
    if (refused !== undefined)
      log.warn('proposal refused', { kind: command.kind, code: refused.code, message: refused.message });
    return refused;
  };
  const lead = (term: number): void => {
    follow();
    mirror.follow(undefined);
    link.leaveStates(undefined);
    leadership = new Leadership(world, registry, term, propose);
    announceLeader(world, registry, { term, leader: self, voters: 1, unreachable: [] });
    log.info('leading', { term, index: registry.index });
    firstToken(options, registry, propose);
    stopFrameworks = options.onLeading?.(term);
  };
  const announceStanding = (): void => {
    const { term, leader, membership } = durable.standing;
    const { voters, learners } = membership;
    const member = [...voters, ...learners].find(({ id }) => id === leader);
    const away = ({ id }: Member): boolean => id !== options.id && link.busOf(id)?.connected !== true;
    const unreachable = (members: readonly Member[]): string[] => members.filter(away).map(({ id }) => id);
    announceLeader(world, registry, {
      term,
      leader: member === undefined ? undefined : located(member),
      voters: voters.length,
      unreachable: unreachable(voters),
    });
    if (leader === undefined && registry.cluster !== undefined)
      showLeaderless(world, membership, { term, unreachable: unreachable([...voters, ...learners]) });
  };
  const sendAway = (names: Iterable<string>): void => {
    for (const name of names) world.disconnect(name);
  };
  const link = new RaftLink({
    id: options.id,
    prefix,
    bus,
    counters,
    connect: (peer, traffic) => {
      assert(connectPeer !== undefined, 'a master with others can connect to them');
      return connectPeer(located(peer), traffic);
    },
    onMessage: (message) => {
      if (message.type === 'HEARTBEAT_REPLY') vocabularies.heard(message.from, message.knows);
      durable.receive(message);
    },
    onStranger: (from) => {
      // Who has just been added, or is being told of: it is named in a moment. Who goes on is not.
      counters.count('raft: of a master that cannot be answered');
      const times = (strangers.get(from) ?? 0) + 1;
      if (strangers.has(from) || strangers.size < LIMITS.masters) strangers.set(from, times);
      if (times === STRANGE_MESSAGES)
        log.warn('a master speaks that is none of the cluster, as far as this one knows', {
          master: from,
          hint: `add it (mesq masters add ${from}=URL), or stop it if it was removed; if it does belong, start this one with --peer ${from}=URL`,
        });
    },
    onReached: (peer, reached) => {
      if (!reached) {
        durable.missed(peer);
        vocabularies.lost(peer);
      }
      if (durable.standing.leader === undefined) announceStanding();
    },
    version: options.version,
    term: () => durable.standing.term,
    cluster: () => registry.cluster && `${registry.cluster.uuid}/${registry.cluster.generation}`,
  });

  const mirror = new StateMirror({ bus, prefix, clock, counters });

  const opened = await openLog({
    storage: options.storage,
    folder: LOG_FOLDER,
    ...(options.logBytes === undefined ? {} : { segmentBytes: options.logBytes.segment }),
    id: options.id,
    log,
    clock,
    random: options.random,
    founders: { voters: [self, ...peers].sort((a, b) => (a.id < b.id ? -1 : 1)), learners: [] },
    send: (message) => link.send(message),
    onObjection: (objection, from) => {
      // Of one that was just removed something may be under way; who goes on is told of as a stranger.
      if (counters.count(`raft: ${objection}`) === 1 && objection !== NO_MEMBER)
        log.error('a master says what cannot be', { master: from, what: objection });
    },
    onMembership: (membership, catchingUp) => {
      if (connectPeer !== undefined) link.connectTo(membership, catchingUp);
      const { voters, learners } = membership;
      const belongs = [...voters, ...learners].some(({ id }) => id === options.id);
      if (!belongs && !catchingUp && registry.cluster !== undefined)
        log.warn('removed from the cluster: this master can be stopped', { master: options.id });
    },
    onRestored: ({ slices }) => {
      const before = registry;
      registry = registryOf(slices);
      reader = new CommandReader();
      sendAway(revokedBetween(before, registry));
      // The cluster and its generation may be known only now.
      announceStanding();
    },
    slices: () => (reader.idle ? snapshotSlices(registry) : undefined),
    onInformed: () => {
      isInformed = true;
      knows();
    },
    onCommitted: (entries) => {
      const events: RegistryEvent[] = [];
      for (const entry of entries) {
        const { kind, index, term, payload } = entry;
        const command = reader.read(kind === 'command' ? payload : NOTHING);
        if (command !== undefined) events.push(...apply(registry, { index, term }, command));
        else {
          registry.index = index;
          registry.term = term;
        }
        options.onApplied?.(entry, registry);
      }
      // Before anybody hears of it, and whether or not this master leads: who was sent away may come back to another one.
      sendAway(revokedNames(events));
      leadership?.applied(events);
      if (events.some(({ kind }) => kind === 'CLUSTER_CREATED')) announceStanding();
      maybeSnapshot();
    },
    onLeading: (term) => {
      if (registry.cluster === undefined) {
        propose({
          kind: 'CREATE_CLUSTER',
          uuid: `c-${randomWord(options.random, 20)}`,
          generation: 1,
          nowMs: clock.wall(),
        });
      }
      lead(term);
    },
    onFollowing: (leader) => {
      follow();
      vocabularies.forget();
      // While nobody is known to lead, a viewer sees what was so last. Who followed on, and were elected, would mirror
      // its mirror.
      mirror.follow(link.stateOf(leader));
      link.leaveStates(leader);
      announceStanding();
      log.info(leader === undefined ? 'no leader known' : 'following', { leader, term: durable.standing.term });
    },
    onFatal: (error) => {
      options.onFatal(error instanceof Error ? error : new Error(String(error)));
      knows();
    },
  });
  if (opened instanceof Fault) return opened;
  const durable = opened.log;
  if (opened.snapshot !== undefined) registry = registryOf(opened.snapshot.slices);

  function maybeSnapshot(): void {
    if (snapshotting || durable.bytes < (options.logBytes?.snapshot ?? SNAPSHOT_BYTES) || !reader.idle) return;
    snapshotting = true;
    durable
      .snapshot(() => snapshotSlices(registry))
      .then(
        () => {
          snapshotting = false;
        },
        (error: unknown) => options.onFatal(error instanceof Error ? error : new Error(String(error))),
      );
  }

  for (const kind of ['up', 'presence', 'agentBulk', 'call', 'request', 'upload'] as const) {
    await bus.subscribe(topicOf(prefix, { kind }), TOPICS[kind].qos, ({ topic, payload, retained, role }) => {
      const address = parseTopic(prefix, topic);
      if (address === undefined || retained) counters.count('message on an unknown topic');
      else if (leadership === undefined) counters.count('message while not leading');
      else if (address.kind === 'request') durable.read(() => leadership?.message(address, payload, role));
      else leadership.message(address, payload, role);
    });
  }
  // Somebody may clear what is retained (MQTT Explorer offers it): who leads is said again.
  await bus.subscribe(topicOf(prefix, { kind: 'leader' }), 1, ({ payload }) => {
    if (payload.length === 0) announceStanding();
  });
  await link.listen();
  durable.start();
  if (registry.cluster === undefined && peers.length > 0)
    log.info('a new cluster is founded once all its masters are there', {
      masters: [self, ...peers].map(({ id }) => id).join(' '),
    });
  if (durable.standing.membership.voters.length === 1) await informed;

  return {
    counters,
    roleOf: (name, secret) => {
      const hash = options.digest.sha256(new TextEncoder().encode(secret));
      for (const token of registry.tokens.values()) if (token.name === name && token.hash === hash) return token.role;
      return undefined;
    },
    informed: () => isInformed,
    hasToken: (name) => [...registry.tokens.values()].some((token) => token.name === name),
    connectionLost: (role, name) => leadership?.connectionLost(role, name),
    stop: async () => {
      follow();
      mirror.stop();
      blobs.stop();
      await durable.close();
      await link.close();
    },
  };
}

/**
 * A cluster without an operator's token gets one, in the data folder (mode 0600), which the CLI of this machine finds.
 * The file is durable before the token counts: there is no token that nobody can know.
 */
function firstToken(
  { storage, random, digest, clock, onFatal }: MasterOptions,
  registry: Registry,
  propose: (command: Command) => void,
): void {
  if ([...registry.tokens.values()].some(({ role }) => role === 'operator')) return;
  const secret = randomWord(random, 32);
  const hash = digest.sha256(new TextEncoder().encode(secret));
  const token = randomWord(random, 8);
  storage.replace('operator-token', new TextEncoder().encode(`operator:${secret}\n`)).then(
    () =>
      propose({
        kind: 'CREATE_TOKEN',
        token,
        name: 'operator',
        role: 'operator',
        hash,
        request: `first-token-${token}`,
        nowMs: clock.wall(),
      }),
    (error: unknown) => onFatal(error instanceof Error ? error : new Error(String(error))),
  );
}
