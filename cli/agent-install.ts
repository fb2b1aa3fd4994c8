import { Fault } from '../protocol/faults.ts';
import { isBrokerUrl } from '../protocol/raft.ts';
import { logLevelOf } from './log-level.ts';
import { notice, printJson, printLine } from './output.ts';
import { isOnThisMachine, SERVICE } from './service-unit.ts';
import type { Context, Verb } from './verb.ts';

interface WrittenInstall {
  readonly master?: readonly string[];
  readonly data: string;
  readonly name?: string;
  readonly resources?: string;
  readonly attributes?: string;
  readonly metered?: boolean;
  readonly sysroot?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly log?: string;
  readonly tokenFile?: string;
  readonly start: boolean;
  readonly root: string;
}

/** Where a service keeps what its agent has. */
export const SERVICE_DATA = '/var/lib/mesq/agent';

/** `mesq agent install`: a systemd service of this machine, with a token that stands on no command line. */
export const agentInstall: Verb = {
  examples: [
    'MESQ_TOKEN=roof:join-… mesq agent install --master mqtts://m1:8883,mqtts://m2:8883 --ca ca.pem',
    'mesq agent install --master mqtts://m1:8883 --token-file token --name attic --attributes site:roof',
    'mesq agent install --master mqtt://127.0.0.1:1883     # beside a master on this machine',
  ],
  exits: { 1: 'also where all was written, and systemd-analyze objects to it' },
  configure: (command) => {
    const gather = (value: string, before: string[] = []): string[] => [...before, value];
    command
      .option('--master <url>', 'masters: mqtts://host:8883[,…]; as --url', gather)
      .option('--token-file <file>', "the token, a join token or the agent's own; - reads it (default: MESQ_TOKEN)")
      .option('--name <name>', "its name in the cluster (default: the token's, else the hostname)")
      .option('--data <dir>', 'its data folder', SERVICE_DATA)
      .option('--resources <list>', 'cpus:4;mem:2048;ports:[31000-32000]; the rest is detected')
      .option('--attributes <list>', 'site:roof;rack:2')
      .option('--sysroot <dir>', 'read /proc, /sys and /etc below it')
      .option('--metered', 'the link costs money by the byte: speak seldom')
      .option('--tls-cert <file>', 'PEM: a certificate of its name, instead of a token')
      .option('--tls-key <file>', 'PEM, of that certificate')
      .option('--log <level>', 'debug, info, warn, error')
      .option('--no-start', 'write everything, and start nothing')
      .option('--root <dir>', 'install into a folder that stands for the machine, as an image of one', '/');
  },
  run: async (context, command) => {
    const { master, tokenFile, root, start, ...given } = command.opts<WrittenInstall>();
    const { urls, prefix, ca } = context.options;
    const masters = master?.flatMap((text) => text.split(',')).filter((url) => url !== '') ?? urls;
    const image = !/^\/+$/.test(root);
    // What this machine takes for its cluster is no word about a board that starts from the image.
    if (image && master === undefined)
      return new Fault(
        'BAD_USAGE',
        `--root ${root}: an image needs to be told its masters`,
        'Write --master mqtts://host:8883, as its boards reach it.',
      );
    const bad = masters.find((url) => !isBrokerUrl(url));
    if (bad !== undefined || masters.length === 0)
      return new Fault('BAD_USAGE', `--master ${bad ?? ''} is no URL of a master`, 'Write it like mqtts://host:8883.');
    const level = given.log === undefined ? undefined : logLevelOf(given.log);
    if (level instanceof Fault) return level;
    if (!given.data.startsWith('/'))
      return new Fault('BAD_USAGE', `--data ${given.data}: a service has no folder of its own to begin at`);
    const token = await tokenOf(context, tokenFile);
    if (token instanceof Fault) return token;
    const { installService } = await import('./start-install.ts');
    const done = await installService({
      ...given,
      root,
      start,
      masters,
      token,
      unsaid: [
        ...(master === undefined ? ['--master'] : []),
        ...(command.getOptionValueSource('data') === 'default' ? ['--data'] : []),
      ],
      ...(prefix === 'mesq' ? {} : { prefix }),
      ...(ca === undefined ? {} : { ca }),
    });
    if (done instanceof Fault) return done;
    const loopback = image ? masters.filter(isOnThisMachine) : [];
    if (loopback.length > 0)
      await notice(context, `warning: ${loopback.join(', ')} is each board's own machine, not this one`);
    if (done.missingNode !== undefined)
      await notice(
        context,
        `warning: it is started with ${done.missingNode}, which is not there in ${root}: put Node 20.19 or newer there, or install the package for that board, which brings its own`,
      );
    const clean = done.verified?.length === 0;
    if (context.options.json) await printJson(context, { service: SERVICE, ...done, clean });
    else {
      for (const path of done.changed) await printLine(context, `wrote ${root.replace(/\/+$/, '')}${path}`);
      if (done.dropped.length > 0) await printLine(context, `dropped: ${done.dropped.join(', ')}`);
      if (done.changed.length === 0) await printLine(context, 'nothing was to be changed');
      await printLine(context, `version ${done.version}${done.started ? ', running' : ', not started'}`);
      if (done.verified === undefined) await printLine(context, 'not verified: systemd-analyze is not there');
      else await printLine(context, clean ? 'systemd-analyze verify: clean' : done.verified.join('\n'));
      if (done.exposure !== undefined) await printLine(context, `systemd-analyze security: exposure ${done.exposure}`);
      if (done.taskUser === 'root') await notice(context, ROOT_TASKS);
      await notice(context, done.started ? STARTED : `Next: boot it, or systemctl start ${SERVICE}.`);
    }
    return clean || done.verified === undefined ? 0 : 1;
  },
};

const ROOT_TASKS =
  'warning: tasks will run as root, for there is no user mesq-task; useradd --system mesq-task makes it, and a restart of the agent takes it.';

const STARTED = `Next: mesq agents shows it, journalctl -u ${SERVICE} -f what it says; to undo: mesq agent uninstall.`;

/** From a file, standard input, MESQ_TOKEN or --token: in that order. Undefined without any. */
async function tokenOf(context: Context, file: string | undefined): Promise<string | undefined | Fault> {
  const text = file === undefined ? undefined : await context.terminal.readText(file);
  if (text instanceof Fault) return text;
  if (file !== undefined && text === undefined)
    return new Fault('BAD_USAGE', `there is no file ${file}`, 'Write the token to it, or pass - and type it.');
  const token = text?.trim() ?? context.options.token;
  if (token === undefined || /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}:[A-Za-z0-9_-]{1,256}$/.test(token)) return token;
  return new Fault('BAD_USAGE', 'the token is none: it is written name:secret', 'mesq token create prints one.');
}
