#!/usr/bin/env node
import { runCommandLine } from './program.ts';
import { shownCommandLine } from './shown-command-line.ts';
import { packageVersion, startTerminal } from './start-terminal.ts';

const shown = shownCommandLine(process.argv);
if (shown !== undefined) process.title = shown;
const code = await runCommandLine(process.argv.slice(2), startTerminal(await packageVersion()));
// Everything was written and closed: what may still hold the process open is of no use.
process.exit(code);
