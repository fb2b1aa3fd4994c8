import { blobUri } from '../protocol/blob.ts';
import { AGENT_BLOCKS } from '../protocol/blob-link.ts';
import { type Outgoing, write } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';
import { shownBlob } from '../protocol/shown-uri.ts';
import { isTerminal } from '../protocol/task.ts';
import { topicOf } from '../protocol/topics.ts';
import type { AgentSessions } from './agent-sessions.ts';
import type { Leader } from './leader.ts';
import { type AgentRecord, tasksOfAgent } from './registry/registry.ts';

/** Blobs of which is remembered what they consist of, and how many blocks those have together, the newest alone apart. */
const REMEMBERED = 16;
const REMEMBERED_BLOCKS = LIMITS.uploadBlocks;
/** Blocks that are on their way to one agent: it may ask again before it is answered. */
const UNDERWAY = 2 * LIMITS.blockWindow;

/** Gives agents the blocks of uploads that their tasks name, and of no others; as many as they ask for, which is their credit. */
export class BlobReading {
  readonly #leader: Leader;
  readonly #agents: AgentSessions;
  /** Blob → hashes of all its blocks, the newest last. */
  readonly #consists = new Map<string, ReadonlySet<string>>();
  readonly #underway = new Map<string, number>();

  constructor(leader: Leader, agents: AgentSessions) {
    this.#leader = leader;
    this.#agents = agents;
  }

  read(agent: AgentRecord, blob: string, blocks: readonly string[]): void {
    const underway = this.#underway.get(agent.name) ?? 0;
    if (underway + blocks.length > UNDERWAY) return void this.#leader.world.counters.count('too many blocks asked for');
    this.#underway.set(agent.name, underway + blocks.length);
    this.#read(agent, blob, blocks)
      .catch((error: unknown) => this.#leader.world.log.warn('block not read', { blob, error: String(error) }))
      .finally(() => {
        const left = (this.#underway.get(agent.name) ?? 0) - blocks.length;
        if (left > 0) this.#underway.set(agent.name, left);
        else this.#underway.delete(agent.name);
      });
  }

  async #read(agent: AgentRecord, blob: string, blocks: readonly string[]): Promise<void> {
    const { blobs } = this.#leader.world;
    if (!this.#names(agent, blob)) {
      const fault = new Fault('NOT_ALLOWED', `no live task of agent ${agent.name} names the upload ${shownBlob(blob)}`);
      for (const block of blocks) await this.#send(agent.name, { type: 'BLOCK', block, fault });
      return;
    }
    if (blocks.includes(blob)) await blobs.keeper.used(blob);
    for (const block of blocks) {
      const belongs = block === blob || (await this.#consistsOf(blob))?.has(block) === true;
      const bytes = belongs ? await blobs.exchange.obtain(block) : undefined;
      const fault = new Fault('NOT_FOUND', `no master that is reached has this block of the upload ${shownBlob(blob)}`);
      await this.#send(agent.name, {
        type: 'BLOCK',
        block,
        ...(bytes === undefined ? { fault } : { data: new Uint8Array(bytes) }),
      });
    }
  }

  async #consistsOf(blob: string): Promise<ReadonlySet<string> | undefined> {
    const known = this.#consists.get(blob);
    if (known !== undefined) return known;
    const blocks = await this.#leader.world.blobs.keeper.blocksOf(blob);
    if (blocks === undefined) return undefined;
    const all = new Set(blocks);
    this.#consists.set(blob, all);
    let hashes = 0;
    for (const each of this.#consists.values()) hashes += each.size;
    for (const [oldest, { size }] of this.#consists) {
      if (this.#consists.size <= REMEMBERED && (hashes <= REMEMBERED_BLOCKS || oldest === blob)) break;
      this.#consists.delete(oldest);
      hashes -= size;
    }
    return all;
  }

  #names(agent: AgentRecord, blob: string): boolean {
    const uri = blobUri(blob);
    return tasksOfAgent(this.#leader.registry, agent.agent).some(
      ({ state, info }) => !isTerminal(state) && info.artifacts?.some((artifact) => artifact.uri === uri),
    );
  }

  async #send(agent: string, message: Outgoing<typeof AGENT_BLOCKS>): Promise<void> {
    const { bus, prefix, log } = this.#leader.world;
    const payload = write(AGENT_BLOCKS, message, this.#agents.encoding(agent));
    await bus
      .publish(topicOf(prefix, { kind: 'agentBlocks', name: agent }), payload, { qos: 1 })
      .catch((error: unknown) => log.debug('agent not reached', { agent, error: String(error) }));
  }
}
