/**
 * An agent to be killed: a process that attaches to a launcher (arguments: root, launcher's folder, options as JSON) and
 * does what its parent's messages say. A test file is a worker thread and cannot attach itself (see `attachLauncher`).
 */
import type { Isolation, StartLimits, TaskExit, TaskSignal, TaskStart } from '../../io/launcher.ts';
import { attachLauncher } from '../../io/node/launcher.ts';
import type { Namespace } from '../../io/node/namespaces.ts';
import { findUser } from '../../io/node/users.ts';

/** What `attachLauncher` takes of it, and a user by name. */
export interface HostOptions {
  readonly cgroups?: string;
  readonly user?: string;
  readonly namespaces?: readonly Namespace[];
}

export type Call =
  | { readonly verb: 'launch'; readonly task: TaskStart }
  | { readonly verb: 'resend' | 'adopt' | 'claim' | 'remove' | 'usage'; readonly folder: string }
  | { readonly verb: 'sweep'; readonly folder: string; readonly mark: string | undefined }
  | { readonly verb: 'limit'; readonly folder: string; readonly limits: StartLimits }
  | { readonly verb: 'signal'; readonly folder: string; readonly signal: TaskSignal }
  | { readonly verb: 'folders' | 'close' | 'stop' };

export type Told =
  | { readonly told: 'attached'; readonly isolation: Isolation }
  | { readonly told: 'failed'; readonly error: HostError }
  | { readonly told: 'started'; readonly folder: string; readonly pid: number }
  | { readonly told: 'exit'; readonly exit: TaskExit }
  | { readonly told: 'restarted' }
  | { readonly told: 'answer'; readonly id: number; readonly value?: unknown; readonly error?: HostError };

export interface HostError {
  readonly code: string;
  readonly message: string;
}

const tell = (told: Told) => void process.send?.(told);
const asHostError = (error: unknown): HostError => ({
  code: (error as { code?: string }).code ?? 'UNKNOWN',
  message: (error as Error).message,
});

try {
  const { cgroups, user: name, namespaces = [] } = JSON.parse(process.argv[4] ?? '{}') as HostOptions;
  const user = name === undefined ? undefined : findUser(name);
  const launcher = await attachLauncher({
    root: process.argv[2] ?? '',
    folder: process.argv[3] ?? '',
    ...(cgroups === undefined ? {} : { cgroups }),
    ...(user === undefined ? {} : { user }),
    namespaces,
  });
  launcher.onStarted((started) => tell({ told: 'started', ...started }));
  launcher.onExit((exit) => tell({ told: 'exit', exit }));
  launcher.onRestarted(() => tell({ told: 'restarted' }));
  const act = (call: Call): Promise<unknown> => {
    switch (call.verb) {
      case 'launch':
        return launcher.launch(call.task);
      case 'signal':
        return launcher.signal(call.folder, call.signal);
      case 'limit':
        return launcher.limit(call.folder, call.limits);
      case 'sweep':
        return launcher.sweep(call.folder, call.mark);
      case 'folders':
      case 'close':
      case 'stop':
        return launcher[call.verb]();
      default:
        return launcher[call.verb](call.folder);
    }
  };
  process.on('message', ({ id, call }: { id: number; call: Call }) => {
    act(call).then(
      (value) => tell({ told: 'answer', id, value }),
      (error) => tell({ told: 'answer', id, error: asHostError(error) }),
    );
  });
  process.on('disconnect', () => process.exit());
  tell({ told: 'attached', isolation: launcher.isolation });
} catch (error) {
  tell({ told: 'failed', error: asHostError(error) });
  process.disconnect();
}
