import type { Errand, LauncherWorld } from '../conformance/launcher.ts';
import { SimulatedMachine } from './launcher.ts';
import { VirtualClock } from './virtual-clock.ts';

/** The conformance suite's machine on virtual time: every turn of the event loop fires one timer while somebody waits. */
export function simulatedLauncherWorld(): Promise<LauncherWorld> {
  const clock = new VirtualClock();
  const machine = new SimulatedMachine(clock);
  const wait = async <T>(promise: Promise<T>): Promise<T> => {
    let settled = false;
    const note = () => {
      settled = true;
    };
    promise.then(note, note);
    const step = () => {
      if (settled) return;
      clock.step();
      setImmediate(step);
    };
    step();
    return await promise;
  };
  return Promise.resolve({
    attach: () => Promise.resolve(machine.attach()),
    argv: (errand: Errand) => [JSON.stringify(errand)],
    wait,
    killAgent: () => Promise.resolve(machine.killAgent()),
    killLauncher: () => Promise.resolve(machine.killLauncher()),
    freeze: () => Promise.resolve(machine.freeze()),
    thaw: () => Promise.resolve(machine.thaw()),
    stdout: (folder: string) => Promise.resolve(machine.stdout(folder)),
    processes: async (folder: string, count: number) => {
      while (machine.processes(folder) !== count) await wait(new Promise((resolve) => setImmediate(resolve)));
    },
    end: () => Promise.resolve(),
  });
}
