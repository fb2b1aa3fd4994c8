import type { OutputFile } from '../io/output-file.ts';

type Open = (folder: string, stream: 'stdout' | 'stderr') => OutputFile;

/**
 * One object for each output, as long as anybody holds it: an output's calls take turns, so that what one part of the
 * agent cuts is not read by another half way.
 */
export function sharedOutputs(open: Open): Open {
  const held = new Map<string, WeakRef<OutputFile>>();
  const dropped = new FinalizationRegistry<string>((key) => {
    if (held.get(key)?.deref() === undefined) held.delete(key);
  });
  return (folder, stream) => {
    const key = `${folder}/${stream}`;
    const known = held.get(key)?.deref();
    if (known !== undefined) return known;
    const file = open(folder, stream);
    held.set(key, new WeakRef(file));
    dropped.register(file, key);
    return file;
  };
}
