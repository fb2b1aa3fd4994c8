import type { JobView } from '../protocol/job.ts';
import type { Sink } from './terminal.ts';

const BAR = 24;
const MILESTONES = 10;

/** `[######------------------]  25/100  20 running, 54 pending, 1 failed`, cut to a terminal's width. */
export function progressLine(tasks: JobView['tasks'], columns: number): string {
  const { total, pending, running, finished, failed } = tasks;
  const done = finished + failed;
  const full = total === 0 ? BAR : Math.floor((done / total) * BAR);
  const rest = [
    ...(running > 0 ? [`${running} running`] : []),
    ...(pending > 0 ? [`${pending} pending`] : []),
    ...unwell(tasks),
  ].join(', ');
  const line = `[${'#'.repeat(full)}${'-'.repeat(BAR - full)}] ${done}/${total}${rest === '' ? '' : `  ${rest}`}`;
  return line.slice(0, Math.max(0, columns - 1));
}

/** `2 failed`, `3 killed`: what was asked for has not gone wrong. */
function unwell({ failed, killed }: JobView['tasks']): string[] {
  return [...(failed > killed ? [`${failed - killed} failed`] : []), ...(killed > 0 ? [`${killed} killed`] : [])];
}

/** How far an array is: one line that is drawn anew on a terminal; elsewhere a line at every tenth of the tasks. */
export class Progress {
  readonly #sink: Sink;
  readonly #silent: boolean;
  #tasks: JobView['tasks'] | undefined;
  #drawn = '';
  #milestone = 0;

  constructor(sink: Sink, silent: boolean) {
    this.#sink = sink;
    this.#silent = silent;
  }

  /** The job as it is now. */
  async changed(tasks: JobView['tasks']): Promise<void> {
    this.#tasks = tasks;
    if (this.#silent) return;
    if (this.#sink.isTerminal) {
      await this.draw();
      return;
    }
    const done = tasks.finished + tasks.failed;
    const milestone = Math.floor((done / tasks.total) * MILESTONES);
    if (milestone <= this.#milestone) return;
    this.#milestone = milestone;
    const more = unwell(tasks).map((what) => `, ${what}`);
    await this.#sink.write(`${done} of ${tasks.total} tasks have ended${more.join('')}\n`);
  }

  /** Draws the line, where it is not there as it should be. */
  async draw(): Promise<void> {
    if (this.#tasks === undefined || this.#silent || !this.#sink.isTerminal) return;
    const line = progressLine(this.#tasks, this.#sink.columns ?? 80);
    if (line === this.#drawn) return;
    this.#drawn = line;
    await this.#sink.write(`\r\u001b[K${line}`);
  }

  /** Takes the line away: something else is about to be written. */
  async clear(): Promise<void> {
    if (this.#drawn === '') return;
    this.#drawn = '';
    await this.#sink.write('\r\u001b[K');
  }
}
