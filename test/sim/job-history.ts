/**
 * What clients did to the set of jobs, and what they saw of it. The set only grows and every job is submitted once, so
 * the history is linearizable exactly if each read has every job that was acknowledged before the read began, none that
 * was not submitted by its end, and no read lacks what an earlier one (ended before it began) had. Of jobs that have
 * ended, only the newest `kept` need be there.
 */
export class JobHistory {
  readonly #submissions: { readonly id: string; readonly begun: number; acknowledged: number | undefined }[] = [];
  readonly #reads: { readonly begun: number; ended: number; seen: ReadonlySet<string> }[] = [];
  readonly #kept: number;
  #time = 0;

  constructor(kept = Number.POSITIVE_INFINITY) {
    this.#kept = kept;
  }

  /** Jobs submitted so far. */
  get count(): number {
    return this.#submissions.length;
  }

  submitted(id: string): number {
    return this.#submissions.push({ id, begun: ++this.#time, acknowledged: undefined }) - 1;
  }

  acknowledged(submission: number): void {
    const found = this.#submissions[submission];
    if (found !== undefined) found.acknowledged = ++this.#time;
  }

  readBegun(): number {
    return ++this.#time;
  }

  readEnded(begun: number, jobs: Iterable<string>): void {
    this.#reads.push({ begun, ended: ++this.#time, seen: new Set(jobs) });
  }

  /** Each in words; none where the history is linearizable. */
  violations(): string[] {
    const found: string[] = [];
    /** When each job was first known to be in the set: acknowledged, or seen by a read that had ended. */
    const there = new Map(
      this.#submissions.map(({ id, acknowledged }): [string, number] => [id, acknowledged ?? Number.POSITIVE_INFINITY]),
    );
    const begun = new Map(this.#submissions.map((submission): [string, number] => [submission.id, submission.begun]));
    for (const { ended, seen } of this.#reads)
      for (const id of seen) there.set(id, Math.min(ended, there.get(id) ?? Number.POSITIVE_INFINITY));
    for (const read of this.#reads) {
      const submitted = this.#submissions.filter((submission) => submission.begun < read.ended);
      const forgotten = new Set(submitted.slice(0, Math.max(0, submitted.length - this.#kept)).map(({ id }) => id));
      for (const [id, since] of there)
        if (since < read.begun && !read.seen.has(id) && !forgotten.has(id))
          found.push(`${id} was there at ${since}, and missing at ${read.begun}`);
      for (const id of read.seen)
        if ((begun.get(id) ?? Number.POSITIVE_INFINITY) > read.ended)
          found.push(`${id} was seen before it was submitted`);
    }
    return found;
  }
}
