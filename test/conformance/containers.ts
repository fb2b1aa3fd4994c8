import type { TestFn } from 'ava';
import { type ContainerEngine, type ContainerSpec, EngineError, StopRequest } from '../../io/containers.ts';

/** What an engine needs to be asked about: programs of an image that it has. */
export interface ContainersHarness {
  readonly engine: ContainerEngine;
  readonly image: string;
  readonly programs: {
    /** Writes both texts to its streams, and exits so. */
    say(out: string, error: string, code: number): readonly string[];
    /** Runs until it is ended by a signal, SIGTERM included, having written that. */
    stay(out: string): readonly string[];
    /** Takes more memory than 32 MiB. */
    gorge(): readonly string[];
  };
  /** Of containers, its own in this run. */
  name(): string;
  /** A new folder of the machine, with `hello` in its file `greeting`, and the program that writes what the file at that path holds. */
  readonly folder: string;
  /** Whether it sees the kernel's word on memory: Podman's monitor does not where control groups are of version 1. */
  readonly tellsOutOfMemory: boolean;
  show(path: string): readonly string[];
}

const LABEL = 'mesquite.test';

/** What every engine does. */
export function containersConformance(test: TestFn, harness: () => Promise<ContainersHarness> | ContainersHarness) {
  const spec = (
    world: ContainersHarness,
    argv: readonly string[],
    rest: Partial<ContainerSpec> = {},
  ): ContainerSpec => ({
    name: world.name(),
    labels: {},
    image: world.image,
    argv,
    environment: {},
    network: 'none',
    ports: [],
    mounts: [],
    devices: [],
    limits: {},
    ...rest,
  });

  test('an engine says who it is', async (t) => {
    const { engine } = await harness();
    const { engine: kind, version } = await engine.version();
    t.true(kind === 'docker' || kind === 'podman');
    t.regex(version, /\d/);
  });

  test('a container runs to its end, and both streams are told apart to the last byte', async (t) => {
    const world = await harness();
    const { engine, programs } = world;
    const made = spec(world, programs.say('one\ntwo', 'three\n', 7), { labels: { [LABEL]: 'end' } });
    t.is(await engine.create(made), 'created');
    t.like(await engine.inspect(made.name), { state: 'created', labels: { [LABEL]: 'end' } });
    await engine.start(made.name);
    await engine.wait(made.name, new StopRequest());
    t.like(await engine.inspect(made.name), { state: 'exited', exitCode: 7, outOfMemory: false });
    t.deepEqual(await written(engine, made.name), { stdout: 'one\ntwo', stderr: 'three\n' });
    await engine.remove(made.name);
    t.is(await engine.inspect(made.name), undefined);
    await t.notThrowsAsync(engine.remove(made.name));
  });

  test('of two that make one container one does', async (t) => {
    const world = await harness();
    const made = spec(world, world.programs.say('', '', 0));
    const answers = await Promise.all([world.engine.create(made), world.engine.create(made)]);
    t.deepEqual(answers.toSorted(), ['created', 'exists']);
    await world.engine.remove(made.name);
  });

  test('a running container is followed, signalled and found by its label', async (t) => {
    const world = await harness();
    const { engine, programs } = world;
    const made = spec(world, programs.stay('here\n'), { labels: { [LABEL]: world.name() } });
    await engine.create(made);
    await engine.start(made.name);
    await engine.start(made.name);
    const found = await engine.list(LABEL, made.labels[LABEL] ?? '');
    t.deepEqual(
      found.map(({ name }) => name),
      [made.name],
    );
    const stop = new StopRequest();
    const following = engine.logs(
      made.name,
      true,
      (_stream, bytes) => {
        if (Buffer.from(bytes).toString().includes('here')) stop.stop();
        return Promise.resolve();
      },
      stop,
    );
    const error = await t.throwsAsync(following, { instanceOf: EngineError });
    t.is(error?.code, 'STOPPED');
    const state = await engine.inspect(made.name);
    t.is(state?.state, 'running');
    t.true((state?.pid ?? 0) > 0);
    t.true(await engine.signal(made.name, 'SIGTERM'));
    await engine.wait(made.name, new StopRequest());
    t.like(await engine.inspect(made.name), { state: 'exited', exitCode: 143 });
    t.false(await engine.signal(made.name, 'SIGTERM'));
    await engine.remove(made.name);
    t.false(await engine.signal(made.name, 'SIGTERM'));
  });

  test('a running container is removed with its processes', async (t) => {
    const world = await harness();
    const made = spec(world, world.programs.stay(''));
    await world.engine.create(made);
    await world.engine.start(made.name);
    await world.engine.remove(made.name);
    t.is(await world.engine.inspect(made.name), undefined);
  });

  test('a folder of the machine is seen where it was mounted', async (t) => {
    const world = await harness();
    const made = spec(world, world.show('/given/greeting'), {
      mounts: [{ source: world.folder, target: '/given', readOnly: true }],
    });
    await world.engine.create(made);
    await world.engine.start(made.name);
    await world.engine.wait(made.name, new StopRequest());
    t.is((await written(world.engine, made.name)).stdout, 'hello');
    await world.engine.remove(made.name);
  });

  test('what takes more memory than its limit is ended, and where the engine sees it, that is said', async (t) => {
    const world = await harness();
    const made = spec(world, world.programs.gorge(), { limits: { memoryBytes: 32 * 1_048_576, processes: 64 } });
    await world.engine.create(made);
    await world.engine.start(made.name);
    await world.engine.wait(made.name, new StopRequest());
    t.like(await world.engine.inspect(made.name), {
      state: 'exited',
      outOfMemory: world.tellsOutOfMemory,
      exitCode: 137,
    });
    await world.engine.remove(made.name);
  });

  test('what is not there is said so', async (t) => {
    const world = await harness();
    const { engine } = world;
    t.truthy((await engine.image(world.image))?.id);
    t.is(await engine.image('localhost/no-such-image:1'), undefined);
    t.is(await engine.inspect('mesq-no-such-container'), undefined);
    t.false(await engine.removeImage('localhost/no-such-image:1'));
    const error = await t.throwsAsync(engine.create(spec(world, [], { image: 'localhost/no-such-image:1' })), {
      instanceOf: EngineError,
    });
    t.is(error?.code, 'NOT_FOUND');
  });
}

async function written(engine: ContainerEngine, name: string): Promise<{ stdout: string; stderr: string }> {
  const text = { stdout: '', stderr: '' };
  await engine.logs(
    name,
    false,
    (stream, bytes) => {
      text[stream] += Buffer.from(bytes).toString();
      return Promise.resolve();
    },
    new StopRequest(),
  );
  return text;
}
