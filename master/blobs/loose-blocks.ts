/** Who has brought in blocks of uploads that were not completed: they take room, and no live job names them. */
export class LooseBlocks {
  /** Owner → hash → room that it takes, oldest first. */
  readonly #owners = new Map<string, Map<string, number>>();
  readonly #room = new Map<string, number>();

  add(owner: string, hash: string, room: number): void {
    const blocks = this.#owners.get(owner) ?? new Map<string, number>();
    this.#owners.set(owner, blocks);
    if (blocks.has(hash)) return;
    blocks.set(hash, room);
    this.#room.set(owner, this.roomOf(owner) + room);
  }

  /** Bytes. */
  roomOf(owner: string): number {
    return this.#room.get(owner) ?? 0;
  }

  /** Owner → bytes. */
  get rooms(): ReadonlyMap<string, number> {
    return this.#room;
  }

  of(owner: string): ReadonlySet<string> {
    return new Set(this.#owners.get(owner)?.keys());
  }

  get any(): boolean {
    return this.#owners.size > 0;
  }

  /** They belong to something that is kept, whoever brought them in. */
  complete(hashes: readonly string[]): void {
    for (const owner of [...this.#owners.keys()]) this.remove(owner, hashes);
  }

  /** They were not taken after all, or are gone. */
  remove(owner: string, hashes: Iterable<string>): void {
    const blocks = this.#owners.get(owner);
    if (blocks === undefined) return;
    for (const hash of hashes) {
      const room = blocks.get(hash);
      if (room === undefined) continue;
      blocks.delete(hash);
      this.#room.set(owner, this.roomOf(owner) - room);
    }
    if (blocks.size > 0) return;
    this.#owners.delete(owner);
    this.#room.delete(owner);
  }
}
