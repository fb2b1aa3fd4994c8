import { Fault } from '../protocol/faults.ts';
import { contextFile } from './common-options.ts';
import { notice, printJson, printLine } from './output.ts';
import { stopSignal } from './stop-signal.ts';
import type { Terminal } from './terminal.ts';
import type { Verb } from './verb.ts';

const DEFAULT_URL = 'mqtt://127.0.0.1:1883';
const MOST_AGENTS = 64;

interface UpOptions {
  readonly agents: string;
  readonly masters?: string;
  readonly data?: string;
  readonly port: string;
  readonly http?: string;
}

/** `mesq up`: a whole cluster on this machine, until Ctrl-C. */
export const up: Verb = {
  examples: [
    'mesq up',
    'mesq up --agents 4 --data /srv/mesq',
    'mesq up --masters 3',
    'mesq up --port 0 --http 0      # any free ports',
  ],
  exits: { 0: 'it was told to stop' },
  configure: (command) => {
    command
      .option('--agents <n>', 'they share the cpus, memory, disk and ports of this machine', '2')
      .option('--masters <n>', '1, 3 or 5: a majority of them must live (default 1, or as many as the data folder has)')
      .option('--data <dir>', 'folder of everything (default ~/.local/state/mesq)')
      .option('--port <n>', 'of the first broker on 127.0.0.1, one higher for each; 0 takes free ones', '1883')
      .option('--http <n>', 'of MQTT over WebSocket on 127.0.0.1; 0 takes a free one (default 8080)');
  },
  run: async (context, command) => {
    const { terminal, options } = context;
    const written = command.opts<UpOptions>();
    const numbers = readNumbers(written);
    if (numbers instanceof Fault) return numbers;
    const data = written.data ?? dataFolder(terminal);
    if (data === undefined) return new Fault('BAD_USAGE', 'there is no home folder', 'Pass --data DIR.');
    const stopped = stopSignal(terminal);
    const { startUp, scriptOfMesq } = await import('./start-up.ts');
    const cluster = await startUp(
      {
        ...numbers,
        data,
        prefix: options.prefix,
        script: scriptOfMesq(),
        onNote: (text) => void notice(context, text),
      },
      terminal,
    );
    if (cluster instanceof Fault) return cluster;
    const { urls, webSocketUrls } = cluster;
    const url = urls.join(',');
    if (options.json) {
      const [webSocketUrl = null] = webSocketUrls;
      await printJson(context, { url, urls, webSocketUrl, webSocketUrls, data, pids: cluster.pids() });
    } else {
      for (const one of urls) await printLine(context, `broker ${one}`);
      for (const one of webSocketUrls) await printLine(context, `websocket ${one}`);
    }
    const found = await remember(terminal, url);
    const flag = found ? '' : `--url ${url} `;
    await notice(context, `data and logs are in ${data}`);
    await notice(
      context,
      'Ctrl-C stops the cluster; tasks that run go on, and mesq up with the same data takes them up again',
    );
    await notice(context, `try: mesq run ${flag}-- echo hello`);
    await stopped;
    await notice(context, 'stopping');
    await cluster.stop();
    return 0;
  },
};

interface Numbers {
  readonly agents: number;
  readonly masters: number | undefined;
  readonly port: number;
  readonly http: number;
}

function readNumbers(written: UpOptions): Numbers | Fault {
  const { agents, masters, port, http = port === '0' ? '0' : '8080' } = written;
  if (masters !== undefined && !['1', '3', '5'].includes(masters))
    return new Fault(
      'BAD_USAGE',
      `--masters ${masters}: a cluster has 1, 3 or 5 masters`,
      'Two can do no more than one.',
    );
  const limits: [option: string, text: string, least: number, most: number][] = [
    ['--agents', agents, 0, MOST_AGENTS],
    ['--port', port, 0, 65_535],
    ['--http', http, 0, 65_535],
  ];
  for (const [option, text, least, most] of limits) {
    if (!/^\d{1,5}$/.test(text) || Number(text) < least || Number(text) > most)
      return new Fault('BAD_USAGE', `${option}: ${JSON.stringify(text)} is not a number from ${least} to ${most}`);
  }
  return {
    agents: Number(agents),
    masters: masters === undefined ? undefined : Number(masters),
    port: Number(port),
    http: Number(http),
  };
}

/** XDG's folder for what should outlive a restart, but is not worth a backup. */
function dataFolder({ environment }: Terminal): string | undefined {
  const home = environment['HOME'];
  const state = environment['XDG_STATE_HOME'] || (home ? `${home}/.local/state` : undefined);
  return state === undefined ? undefined : `${state}/mesq`;
}

/**
 * Makes the cluster the current one, unless a person has chosen one elsewhere: what is on this machine was written by an
 * earlier `mesq up`. True where later verbs will find it by themselves.
 */
async function remember(terminal: Terminal, url: string): Promise<boolean> {
  const path = contextFile(terminal);
  if (path === undefined) return url === DEFAULT_URL;
  const before = await terminal.readText(path);
  if (typeof before === 'string' && !/"mqtt:\/\/(127\.0\.0\.1|localhost|\[::1\])[:"]/.test(before)) return false;
  if (before === undefined && url === DEFAULT_URL) return true;
  await terminal.writeSecret(path, `${JSON.stringify({ url })}\n`);
  return true;
}
