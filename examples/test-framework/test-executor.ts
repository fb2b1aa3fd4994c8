import { systemClock } from '../../io/node/clock.ts';
import { connectLines } from '../../io/node/line-socket.ts';
import { systemRandom } from '../../io/node/random.ts';
import { createExecutorDriver, type Executor } from '../../sdk/index.ts';

/**
 * The executor of Mesos's examples (src/examples/java/TestExecutor.java): each task runs, says so, and has finished. What
 * its scheduler says to it, it says back. An agent starts it as `node build/examples/test-framework/test-executor.js`.
 */
const executor: Executor = {
  registered: (_driver, { agentName }) => console.log(`Registered executor on ${agentName}`),
  launchTask: (driver, { task }) => {
    driver.sendStatusUpdate({ task, state: 'TASK_RUNNING' });
    console.log(`Running task ${task}`);
    driver.sendStatusUpdate({ task, state: 'TASK_FINISHED' });
  },
  // A task has ended by the time that anybody could kill it.
  killTask: () => undefined,
  frameworkMessage: (driver, data) => void driver.sendFrameworkMessage(data),
  error: (_driver, { message }) => console.error(message),
};

const driver = createExecutorDriver({
  executor,
  environment: process.env,
  connect: connectLines,
  clock: systemClock,
  random: systemRandom,
});
process.exitCode = (await driver.run()) === 'DRIVER_STOPPED' ? 0 : 1;
