import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { LateEngine } from '../../io/late-engine.ts';
import type { Launcher } from '../../io/launcher.ts';
import { launchContainers } from '../../io/node/container-launcher.ts';
import { openOutputFile } from '../../io/node/output-file.ts';
import type { SimulatedEngine } from '../sim/containers.ts';
import { noProcesses } from './no-processes.ts';

/** The launcher of containers on files below `root`, with an engine in memory; closed at the end. */
export async function simulatedContainerLauncher(
  t: ExecutionContext,
  root: string,
  containers: SimulatedEngine,
): Promise<Launcher> {
  const log = { debug: t.log, info: t.log, warn: t.log, error: t.log };
  const found = { ...(await containers.version()), containers, socket: '/run/engine' };
  const engine = new LateEngine({ find: async () => found, isThere: async () => true, log });
  await engine.look();
  const output = (folder: string, stream: string) => openOutputFile(join(root, folder, stream), 1_000_000);
  const launcher = await launchContainers({ engine, root, processes: noProcesses(root), output, log });
  t.teardown(() => launcher.close());
  return launcher;
}
