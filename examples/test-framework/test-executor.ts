import type { Executor } from 'mesquite/sdk';
import { connectExecutor } from 'mesquite/sdk/node';

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

process.exitCode = (await connectExecutor(executor).run()) === 'DRIVER_STOPPED' ? 0 : 1;
