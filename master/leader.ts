import type { Bus } from '../io/bus.ts';
import type { Clock } from '../io/clock.ts';
import type { Compression, MessagePacking } from '../io/compression.ts';
import type { Digest } from '../io/digest.ts';
import type { Log } from '../io/log.ts';
import type { Random } from '../io/random.ts';
import type { Fault } from '../protocol/faults.ts';
import type { Member } from '../protocol/raft.ts';
import type { AllocatorOptions } from './allocator/allocator.ts';
import type { Blobs } from './blobs.ts';
import type { Counters } from './counters.ts';
import type { MembershipChange } from './raft/membership.ts';
import type { Command } from './registry/commands.ts';
import type { Registry } from './registry/registry.ts';
import type { RaftStanding } from './replicated-log.ts';

/** What a master is told about itself and its surroundings; the simulator hands in twins. */
export interface World {
  readonly bus: Bus;
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
  /** First level of every topic. */
  readonly prefix: string;
  /** This master's id, and the URLs peers reach it at. */
  readonly id: string;
  readonly urls: readonly string[];
  readonly version: string;
  readonly counters: Counters;
  /** Monotonic milliseconds of the last packet of an agent's connection; undefined where packets are not seen. */
  readonly lastPacketMs: (agentName: string) => number | undefined;
  /** Cuts every connection of a name (its token was revoked, its agent is gone). */
  readonly disconnect: (name: string) => void;
  readonly times: Times;
  readonly allocation: AllocatorOptions;
  readonly quorum: Quorum;
  /** What this master keeps of uploads. */
  readonly blobs: Blobs;
}

/** The masters, as Raft has them. */
export interface Quorum {
  standing(): RaftStanding;
  /** Where each master is reached; of this one, as it was told at its start. */
  urlsOf(member: Member): readonly string[];
  /** What another master has said of its version; empty where nothing was heard. */
  versionOf(master: string): string;
  /** See raft/membership.ts. */
  change(change: MembershipChange): { readonly term: number; readonly index: number } | Fault;
  transfer(to: string): undefined | Fault;
}

/** What a framework shows to people under `state/`. */
export interface ShownThing {
  readonly kind: 'jobs';
  readonly id: string;
  readonly view: Record<string, unknown> | null;
  readonly progress?: Record<string, number> | undefined;
}

/** The settable times, in milliseconds (defaults: protocol/limits.ts TIMES). */
export interface Times {
  readonly leaseMs: number;
  readonly longestKeepAliveMs: number;
  readonly longestKeepAliveMeteredMs: number;
  readonly unreachableMs: number;
  readonly unreachableMeteredMs: number;
  readonly lostAfterMs: number;
  readonly offerMs: number;
  readonly allocationMs: number;
  readonly launchRetryMs: number;
  readonly launchMs: number;
  readonly updateRetryMs: number;
}

/** One term of leadership, as its parts see it. */
export interface Leader {
  readonly world: World;
  readonly registry: Registry;
  readonly term: number;
  /** Hands a command to Raft. Its outcome comes as events when it is applied; nobody waits for it in memory alone. */
  /** A fault where it cannot be proposed, which is logged. */
  propose(command: Command): Fault | undefined;
  /** Publishes what a framework shows to people. */
  show(framework: string, things: readonly ShownThing[]): void;
  /** Wall-clock milliseconds to stamp commands with. */
  wallMs(): number;
}
