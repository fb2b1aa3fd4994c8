import test from 'ava';
import { EngineError } from '../../io/containers.ts';
import { LateEngine } from '../../io/late-engine.ts';
import { SimulatedEngine } from '../sim/containers.ts';

/** A machine with sockets that an engine is behind, or nobody. */
function machine() {
  const sockets = new Map<string, SimulatedEngine>();
  const asked: (string | undefined)[] = [];
  let appeared = 0;
  const ignore = (): void => undefined;
  const engine = new LateEngine({
    find: async (wanted) => {
      asked.push(wanted);
      for (const [socket, containers] of sockets) {
        if (wanted !== undefined && socket !== wanted) continue;
        const version = await containers.version().catch(() => undefined);
        if (version !== undefined) return { ...version, containers, socket };
      }
      return undefined;
    },
    isThere: (socket) => Promise.resolve(sockets.has(socket)),
    log: { debug: ignore, info: ignore, warn: ignore, error: ignore },
  });
  engine.onAppeared(() => appeared++);
  return { sockets, asked, engine, appeared: () => appeared };
}

test('an engine that comes later is found by the next look, and until then is one that is down', async (t) => {
  const { sockets, engine, appeared } = machine();
  await engine.look();
  t.false(engine.there);
  const error = await t.throwsAsync(engine.list('a', 'b'), { instanceOf: EngineError });
  t.is(error?.code, 'UNAVAILABLE');
  sockets.set('/run/a', new SimulatedEngine('image'));
  await engine.look();
  t.like(engine.found, { engine: 'podman', socket: '/run/a' });
  t.deepEqual(await engine.list('a', 'b'), []);
  t.is(appeared(), 1);
});

test('while its socket is there it is not asked: a look wakes no service that sleeps', async (t) => {
  const { sockets, engine, asked } = machine();
  sockets.set('/run/a', new SimulatedEngine());
  await engine.look();
  await engine.look();
  await engine.look();
  t.is(asked.length, 1);
});

test('one that is away for a look stays; after two it is gone, and no other takes its place', async (t) => {
  const { sockets, engine, appeared } = machine();
  const first = new SimulatedEngine();
  sockets.set('/run/a', first);
  await engine.look();
  sockets.delete('/run/a');
  sockets.set('/run/b', new SimulatedEngine());
  await engine.look();
  t.true(engine.there);
  sockets.set('/run/a', first);
  await engine.look();
  sockets.delete('/run/a');
  await engine.look();
  t.true(engine.there, 'looks are counted in a row');
  await engine.look();
  t.false(engine.there);
  await engine.look();
  t.false(engine.there, 'what runs in the first would be started again in the second');
  sockets.set('/run/a', first);
  await engine.look();
  t.is(engine.found?.socket, '/run/a');
  t.is(appeared(), 2);
});

test('a socket that nobody is behind any more is noticed by the call that was not answered', async (t) => {
  const { sockets, engine } = machine();
  const simulated = new SimulatedEngine();
  sockets.set('/run/a', simulated);
  await engine.look();
  simulated.down = true;
  await t.throwsAsync(engine.inspect('x'), { instanceOf: EngineError });
  await engine.look();
  await engine.look();
  t.false(engine.there);
});

test('of looks at the same time one is made', async (t) => {
  const { engine, asked } = machine();
  await Promise.all([engine.look(), engine.look(), engine.look()]);
  t.is(asked.length, 1);
});
