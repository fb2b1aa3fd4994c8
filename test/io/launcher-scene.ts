import test, { type ExecutionContext } from 'ava';
import type { Launcher, TaskExit, TaskStart } from '../../io/launcher.ts';
import type { HostOptions } from './launcher-host.ts';
import { type RealLauncherWorld, realLauncherWorld } from './launcher-world.ts';

/** Declares a test on a real launcher of its own, which is gone when it ends. */
export type DeclareScene = (
  title: string,
  options: HostOptions,
  act: (t: ExecutionContext, world: RealLauncherWorld, launcher: Launcher) => Promise<void>,
) => void;

/** Scenes of a test file, one after another; those with options that this machine is not `able` to give are skipped. */
export function launcherScenes(able: (options: HostOptions) => boolean): DeclareScene {
  return (title, options, act) => {
    const runner = able(options) ? test.serial : test.serial.skip;
    runner(title, async (t) => {
      const world = await realLauncherWorld(options);
      try {
        await act(t, world, await world.attach());
      } finally {
        await world.end();
      }
    });
  };
}

/** Starts a task, and gives how it ended. */
export async function runToEnd(launcher: Launcher, task: TaskStart): Promise<TaskExit> {
  const end = new Promise<TaskExit>((resolve) =>
    launcher.onExit((exit) => exit.folder === task.folder && resolve(exit)),
  );
  await launcher.launch(task);
  return await end;
}
