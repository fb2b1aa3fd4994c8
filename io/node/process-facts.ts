import { readdir, readFile } from 'node:fs/promises';
import type { ProcessFacts } from '../process-facts.ts';

/** Asks Node and /proc. Some milliseconds: smaps_rollup walks all mappings. */
export async function processFacts(): Promise<ProcessFacts> {
  const { user, system } = process.cpuUsage();
  const [pssKb, writtenBytes, files] = await Promise.all([
    numberIn('/proc/self/smaps_rollup', /^Pss: +(\d+) kB$/m),
    numberIn('/proc/self/io', /^write_bytes: (\d+)$/m),
    readdir('/proc/self/fd').catch(() => undefined),
  ]);
  return {
    rssKb: Math.round(process.memoryUsage.rss() / 1_024),
    pssKb,
    processorMs: Math.round((user + system) / 1_000),
    // Without the one that this look has opened.
    openFiles: files === undefined ? null : files.length - 1,
    writtenBytes,
  };
}

async function numberIn(path: string, pattern: RegExp): Promise<number | null> {
  const text = await readFile(path, 'latin1').catch(() => '');
  const found = pattern.exec(text)?.[1];
  return found === undefined ? null : Number(found);
}
