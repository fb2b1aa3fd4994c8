import {
  type ContainerEngine,
  type ContainerSpec,
  type ContainerState,
  type ContainerSummary,
  EngineError,
  type EngineVersion,
  type ImageState,
  type PullProgress,
  type Stop,
  type TakeOutput,
} from '../containers.ts';
import { ask, type EngineAnswer, messageOf, record, refusal, stream } from './engine-requests.ts';
import { LogFrames } from './log-frames.ts';
import { PullReader } from './pull-reader.ts';

/** Shares of a CPU as the kernel counts them: one is 1024. */
const SHARES = 1_024;
const LEAST_SHARES = 2;
const NANOS_PER_THOUSANDTH = 1_000_000;
/** Costs an engine nothing, beyond being started by its socket: on a slow card that takes some seconds. */
const VERSION_MS = 15_000;

/** The engine behind a unix socket, by Docker's API (1.41), which Podman speaks too. Nothing is asked by that alone. */
export function dockerSocket(path: string): ContainerEngine {
  return new DockerSocket(path);
}

class DockerSocket implements ContainerEngine {
  readonly #socket: string;
  #runtimes: Promise<ReadonlySet<string>> | undefined;

  constructor(socket: string) {
    this.#socket = socket;
  }

  async version(): Promise<EngineVersion> {
    const { Version, Components } = record(await this.#ask('GET', '/version', VERSION_MS));
    const names = Array.isArray(Components) ? Components.map((each) => String(record(each)['Name'])) : [];
    return {
      engine: names.some((name) => name.startsWith('Podman')) ? 'podman' : 'docker',
      version: typeof Version === 'string' ? Version : 'unknown',
    };
  }

  async create(spec: ContainerSpec): Promise<'created' | 'exists'> {
    const body = bodyOf(spec, await this.#runtimeOf(spec));
    const answer = await ask(this.#socket, 'POST', `/containers/create?name=${encodeURIComponent(spec.name)}`, body);
    if (answer.status === 201) return 'created';
    // Podman 4.3 says so with status 500.
    if (answer.status === 409 || (messageOf(answer.body) ?? '').includes('name is already in use')) return 'exists';
    throw refusal(answer);
  }

  async start(name: string): Promise<void> {
    await this.#ask('POST', `${containerPath(name)}/start`);
  }

  async inspect(name: string): Promise<ContainerState | undefined> {
    const answer = await ask(this.#socket, 'GET', `${containerPath(name)}/json`);
    if (answer.status === 404) return undefined;
    if (answer.status >= 300) throw refusal(answer);
    const { State, Config } = record(answer.body);
    const { Status, Pid, ExitCode, OOMKilled } = record(State);
    return {
      labels: labelsOf(record(Config)['Labels']),
      state: stateOf(String(Status)),
      pid: typeof Pid === 'number' ? Pid : 0,
      exitCode: typeof ExitCode === 'number' ? ExitCode & 255 : 255,
      outOfMemory: OOMKilled === true,
    };
  }

  async list(label: string, value: string): Promise<readonly ContainerSummary[]> {
    const filters = encodeURIComponent(JSON.stringify({ label: [`${label}=${value}`] }));
    const answer = await this.#ask('GET', `/containers/json?all=true&filters=${filters}`);
    return (Array.isArray(answer) ? answer : []).flatMap((each): ContainerSummary[] => {
      const { Names, Labels } = record(each);
      const [name] = Array.isArray(Names) ? Names : [];
      return typeof name === 'string' ? [{ name: name.replace(/^\//, ''), labels: labelsOf(Labels) }] : [];
    });
  }

  async wait(name: string, stop: Stop): Promise<void> {
    await stream(this.#socket, { method: 'POST', path: `${containerPath(name)}/wait`, stop }, () => undefined);
  }

  async signal(name: string, signal: string): Promise<boolean> {
    const answer = await ask(this.#socket, 'POST', `${containerPath(name)}/kill?signal=${encodeURIComponent(signal)}`);
    if (answer.status < 300) return true;
    // 409: it does not run (Podman 4.3: 409 or 500, with these words).
    if (answer.status === 404 || answer.status === 409) return false;
    if (/not running|state improper|is not running/i.test(messageOf(answer.body) ?? '')) return false;
    throw refusal(answer);
  }

  async logs(name: string, follow: boolean, take: TakeOutput, stop: Stop): Promise<void> {
    const frames = new LogFrames(take);
    const path = `${containerPath(name)}/logs?stdout=true&stderr=true&follow=${follow}`;
    await stream(this.#socket, { method: 'GET', path, stop }, (piece) => frames.add(piece));
  }

  async remove(name: string): Promise<void> {
    const answer = await ask(this.#socket, 'DELETE', `${containerPath(name)}?force=true&v=true`);
    if (answer.status >= 300 && answer.status !== 404) throw refusal(answer);
  }

  async image(reference: string): Promise<ImageState | undefined> {
    const answer = await ask(this.#socket, 'GET', `/images/${encodeURIComponent(reference)}/json`);
    if (answer.status === 404) return undefined;
    if (answer.status >= 300) throw refusal(answer);
    const { Id, Size } = record(answer.body);
    return { id: String(Id), bytes: typeof Size === 'number' ? Size : 0 };
  }

  async pull(reference: string, onProgress: (progress: PullProgress) => void, stop: Stop): Promise<void> {
    const reader = new PullReader(onProgress);
    const path = `/images/create?fromImage=${encodeURIComponent(withTag(reference))}`;
    await stream(this.#socket, { method: 'POST', path, stop }, (piece) => reader.add(piece)).catch((error: unknown) => {
      throw error instanceof EngineError ? reader.meaning(error) : error;
    });
    reader.end();
  }

  async removeImage(reference: string): Promise<boolean> {
    const answer = await ask(this.#socket, 'DELETE', `/images/${encodeURIComponent(reference)}`);
    if (answer.status < 300) return true;
    if (answer.status === 404 || answer.status === 409) return false;
    if (/in use|is using/i.test(messageOf(answer.body) ?? '')) return false;
    throw refusal(answer);
  }

  async #ask(method: string, path: string, patienceMs?: number): Promise<unknown> {
    const answer: EngineAnswer = await ask(this.#socket, method, path, undefined, patienceMs);
    if (answer.status >= 400) throw refusal(answer);
    return answer.body;
  }

  /** NVIDIA's own runtime gives what NVIDIA_VISIBLE_DEVICES names; an engine without it gives device files alone. */
  async #runtimeOf({ environment }: ContainerSpec): Promise<string | undefined> {
    const named = environment['NVIDIA_VISIBLE_DEVICES'];
    if (named === undefined || named === '' || named === 'void') return undefined;
    this.#runtimes ??= this.#ask('GET', '/info').then((info) => new Set(Object.keys(record(record(info)['Runtimes']))));
    try {
      return (await this.#runtimes).has('nvidia') ? 'nvidia' : undefined;
    } catch (error) {
      this.#runtimes = undefined;
      throw error;
    }
  }
}

function bodyOf(spec: ContainerSpec, runtime: string | undefined): unknown {
  const { limits, network, ports } = spec;
  const bindings = new Map<string, { HostPort: string }[]>();
  for (const { host, container } of ports)
    for (const protocol of ['tcp', 'udp']) {
      const key = `${container}/${protocol}`;
      bindings.set(key, [...(bindings.get(key) ?? []), { HostPort: String(host) }]);
    }
  return {
    Image: spec.image,
    ...(spec.argv.length === 0 ? {} : { Cmd: spec.argv }),
    Env: Object.entries(spec.environment).map(([name, value]) => `${name}=${value}`),
    ...(spec.workdir === undefined ? {} : { WorkingDir: spec.workdir }),
    ...(spec.user === undefined ? {} : { User: spec.user }),
    Labels: spec.labels,
    ExposedPorts: Object.fromEntries([...bindings.keys()].map((key) => [key, {}])),
    HostConfig: {
      NetworkMode: network,
      PortBindings: Object.fromEntries(bindings),
      Mounts: spec.mounts.map(({ source, target, readOnly }) => ({
        Type: 'bind',
        Source: source,
        Target: target,
        ReadOnly: readOnly,
      })),
      Devices: spec.devices.map((path) => ({ PathOnHost: path, PathInContainer: path, CgroupPermissions: 'rwm' })),
      Privileged: false,
      SecurityOpt: ['no-new-privileges'],
      // In its sandbox, which the machine's users reach, root in the container makes no disk and no program with rights.
      CapDrop: ['MKNOD', 'SETFCAP'],
      ...(limits.cpuShare === undefined
        ? {}
        : { CpuShares: Math.max(LEAST_SHARES, Math.round((limits.cpuShare * SHARES) / 1_000)) }),
      ...(limits.cpuMost === undefined ? {} : { NanoCpus: limits.cpuMost * NANOS_PER_THOUSANDTH }),
      ...(limits.memoryBytes === undefined ? {} : { Memory: limits.memoryBytes, MemorySwap: limits.memoryBytes }),
      ...(limits.processes === undefined ? {} : { PidsLimit: limits.processes }),
      ...(runtime === undefined ? {} : { Runtime: runtime }),
    },
  };
}

function containerPath(name: string): string {
  return `/containers/${encodeURIComponent(name)}`;
}

/** Without one Docker fetches every tag that there is. */
function withTag(reference: string): string {
  return /[:@][^/]*$/.test(reference) ? reference : `${reference}:latest`;
}

function stateOf(status: string): ContainerState['state'] {
  if (status === 'created' || status === 'configured' || status === 'initialized') return 'created';
  return status === 'exited' || status === 'dead' || status === 'stopped' || status === 'removing'
    ? 'exited'
    : 'running';
}

function labelsOf(value: unknown): Record<string, string> {
  return Object.fromEntries(
    Object.entries(record(value)).flatMap(([name, text]) => (typeof text === 'string' ? [[name, text]] : [])),
  );
}
