import { type ParseArgsConfig, parseArgs } from 'node:util';

/**
 * What a tool's command line says. With --help it prints the usage and ends the process with 0; an option that there is
 * not, or one without its value, ends it with 2.
 */
export function toolArguments<const Config extends ParseArgsConfig>(
  usage: string,
  config: Config,
): ReturnType<typeof parseArgs<Config>> {
  const own = process.argv.slice(2);
  if (own.includes('--help') || own.includes('-h')) {
    console.log(usage);
    process.exit(0);
  }
  try {
    return parseArgs(config);
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error), usage);
  }
}

/** Says what is wrong with how a tool was called, and how it is called, and ends the process with 2. */
export function refuse(problem: string, usage: string): never {
  console.error(`error: ${problem}\n${usage}`);
  process.exit(2);
}
