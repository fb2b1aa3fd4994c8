import { monitorEventLoopDelay } from 'node:perf_hooks';

/**
 * To be loaded into a process before its own script (`--import`): answers every message of its parent with the longest
 * time for which its event loop was late since the message before, and the 99th percentile, in milliseconds.
 */
const delay = monitorEventLoopDelay({ resolution: 10 });
delay.enable();
process.on('message', () => {
  process.send?.({ mostMs: delay.max / 1e6, p99Ms: delay.percentile(99) / 1e6 });
  delay.reset();
});
process.channel?.unref();
