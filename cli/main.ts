#!/usr/bin/env node
import { spareMemory } from '../io/node/engine.ts';
import { shownCommandLine } from './shown-command-line.ts';

const shown = shownCommandLine(process.argv);
if (shown !== undefined) process.title = shown;
// Before anything else is loaded: an agent idles for weeks beside the work that its machine is for.
if (process.argv[2] === 'agent') spareMemory();
const [{ runCommandLine }, { packageVersion, startTerminal }] = await Promise.all([
  import('./program.ts'),
  import('./start-terminal.ts'),
]);
/** Node's longest. */
const FOR_EVER_MS = 2_147_483_647;
// A command lives until it has ended, though it may wait for nothing but time: the timers of its clock hold no process.
setInterval(() => {}, FOR_EVER_MS);
const code = await runCommandLine(process.argv.slice(2), startTerminal(await packageVersion()));
// Everything was written and closed: what may still hold the process open is of no use.
process.exit(code);
