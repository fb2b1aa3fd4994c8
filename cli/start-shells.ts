import { join } from 'node:path';
import type { LateEngine } from '../io/late-engine.ts';
import type { Isolation } from '../io/launcher.ts';
import { containerShells } from '../io/node/container-shells.ts';
import { processShells } from '../io/node/process-shells.ts';
import type { SystemUser } from '../io/node/users.ts';
import type { SandboxShells } from '../io/sandbox-shells.ts';
import type { Attribute } from '../protocol/attributes.ts';
import { EXEC_ATTRIBUTE } from '../protocol/exec.ts';

/** What `mesq exec` starts on this machine: beside processes, and in containers where there may be an `engine`. */
export function sandboxShells(
  data: string,
  isolation: Isolation,
  user: SystemUser | undefined,
  engine: LateEngine | undefined,
): SandboxShells {
  const root = join(data, 'tasks');
  const processes = processShells({ root, folder: join(data, 'launcher'), isolation, user });
  return engine === undefined ? processes : containerShells(() => engine.found?.socket, root, processes);
}

/** Agents that have it let people in; the leader answers in the stead of others. */
export function execAttribute(): Attribute {
  return { name: EXEC_ATTRIBUTE, text: 'yes' };
}
