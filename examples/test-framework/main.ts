/**
 * Mesos's test framework: `node build/examples/test-framework/main.js [--url URL] [--token NAME:SECRET] [--tasks 5]`.
 * With `--executor FILE` its tasks are run by that script of Node's, test-executor.js say, and not as commands. Exit code
 * 0 only if every task has finished.
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { connectScheduler } from 'mesquite/sdk/node';
import { TestFramework } from './test-framework.ts';

const { values } = parseArgs({
  options: {
    url: { type: 'string' },
    token: { type: 'string' },
    name: { type: 'string', default: 'test-framework' },
    role: { type: 'string', default: '*' },
    tasks: { type: 'string', default: '5' },
    executor: { type: 'string' },
  },
});
const tasks = Number(values.tasks);
if (!Number.isInteger(tasks) || tasks < 1) throw new Error(`--tasks ${values.tasks} is not a number of tasks`);
const token = values.token ?? process.env['MESQ_TOKEN'];
// The agents are on this machine, or have the script at the same place.
const executor =
  values.executor === undefined
    ? {}
    : {
        executor: {
          executor: 'default',
          argv: [process.execPath, resolve(values.executor)],
          shutdownGraceMs: 5_000,
        },
      };

const status = await connectScheduler({
  ...(values.url === undefined ? {} : { url: values.url }),
  // A token says who speaks; without one, on this machine, a name does.
  ...(token === undefined ? { name: values.name } : { token }),
  roles: [values.role],
  scheduler: new TestFramework({ tasks, run: `run-${Date.now().toString(36)}`, print: console.log, ...executor }),
}).run();
process.exitCode = status === 'DRIVER_STOPPED' ? 0 : 1;
