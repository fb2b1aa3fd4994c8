import test from 'ava';
import type * as v from 'valibot';
import { createBatch } from '../../frameworks/batch/batch.ts';
import { AGENT_DOWN, AGENT_UP, BULK, PRESENCE } from '../../protocol/agent-link.ts';
import { encode, type MessageTable, read } from '../../protocol/envelope.ts';
import { Fault } from '../../protocol/faults.ts';
import { BATCH_OPERATIONS } from '../../protocol/job.ts';
import { OPERATIONS, REPLIES, REQUESTS } from '../../protocol/operator.ts';
import { CALLS, EVENTS } from '../../protocol/scheduler.ts';
import { createSchedulerDriver } from '../../sdk/index.ts';
import { SeededRandom } from '../sim/random.ts';
import { Vocabulary, wellFormed } from '../well-formed.ts';
import { greeting, MasterWorld, ScriptedFramework, SimulatedAgent, task } from './world.ts';

/** Who may say what, under the name of one who means no good; twice where there are many types. */
const SPOKEN: readonly { readonly topic: string; readonly table: MessageTable }[] = [
  { topic: 'mesq/agents/evil/up', table: AGENT_UP },
  { topic: 'mesq/agents/evil/up', table: AGENT_UP },
  { topic: 'mesq/agents/evil/presence', table: PRESENCE },
  { topic: 'mesq/agents/evil/bulk', table: BULK },
  { topic: 'mesq/frameworks/evil/call', table: CALLS },
  { topic: 'mesq/frameworks/evil/call', table: CALLS },
  { topic: 'mesq/clients/evil/s1/request', table: REQUESTS },
];
const HEARD: readonly { readonly topic: string; readonly table: MessageTable }[] = [
  { topic: 'mesq/agents/evil/down', table: AGENT_DOWN },
  { topic: 'mesq/frameworks/evil/event', table: EVENTS },
  { topic: 'mesq/frameworks/evil/offers', table: EVENTS },
  { topic: 'mesq/clients/evil/s1/reply', table: REPLIES },
  { topic: 'mesq/clients/evil/s1/bulk', table: BULK },
];
const ASKED: readonly (readonly [op: string, framework: string | undefined, body: v.GenericSchema])[] = [
  ...Object.entries(OPERATIONS).map(([op, { body }]) => [op, undefined, body] as const),
  ...Object.entries(BATCH_OPERATIONS).map(([op, { body }]) => [op, 'batch', body] as const),
];
const MESSAGES = 400;

/** The batch framework, as the leader's process has it. */
function startBatch(world: MasterWorld): () => void {
  const { clock, random } = world;
  const log = { debug: ignore, info: ignore, warn: ignore, error: ignore };
  const batch = createBatch({ clock, log });
  const driver = createSchedulerDriver({
    ...{ bus: world.bus('framework:batch'), name: 'batch', roles: [], scheduler: batch, clock, random, log },
    explicitAcknowledgements: true,
  });
  driver.start();
  return () => {
    batch.stop();
    driver.stop(true);
  };
}

function nonsense(
  vocabulary: Vocabulary,
  random: SeededRandom,
  epoch: number,
): { topic: string; message: object } | undefined {
  const spoken = SPOKEN[random.below(SPOKEN.length)];
  if (spoken === undefined) return undefined;
  const schemas = Object.values(spoken.table);
  const schema = schemas[random.below(schemas.length)];
  const message = schema === undefined ? undefined : wellFormed(schema, vocabulary, random);
  if (typeof message !== 'object' || message === null) return undefined;
  const asked = spoken.table === REQUESTS && random.chance(0.9) ? ASKED[random.below(ASKED.length)] : undefined;
  const [op, framework, body] = asked ?? [];
  const request = body === undefined ? {} : { op, framework, body: wellFormed(body, vocabulary, random) };
  // Some of it comes from inside a session: an agent under its own name, in its own epoch.
  const name = 'name' in message && random.chance(0.9) ? { name: 'evil' } : {};
  const session = 'epoch' in message && random.chance(0.8) ? { epoch } : {};
  return { topic: spoken.topic, message: { ...message, v: 1, ...name, ...session, ...request } };
}

// Seeds whose nonsense sets no cpus aside, by a quota that somebody has to have meant.
for (const seed of [1, 3, 5]) {
  test(`well-formed messages that mean nothing break nothing, and what they committed can be recovered (seed ${seed})`, async (t) => {
    const world = new MasterWorld({ seed });
    const random = new SeededRandom(seed);
    const vocabulary = new Vocabulary();
    await world.start();
    let stopBatch = startBatch(world);
    await new SimulatedAgent(world, 'pi-1').start();
    const good = new ScriptedFramework(world, 'good');
    await good.subscribe();
    await good.launch([task('long', { runMs: 1e9 })]);
    const before = world.network.onPublish;
    world.network.onPublish = (topic, payload, retain) => {
      before(topic, payload, retain);
      vocabulary.hear(payload);
    };
    const evil = world.bus('agent:evil~x');
    let epoch = 0;
    for (const { topic, table } of HEARD) {
      await evil.subscribe(topic, 1, ({ payload }) => {
        const heard = read(table, payload);
        if (heard instanceof Fault) t.fail(`it was answered what nobody can read: ${heard.message}`);
        else if (heard.message.type === 'REGISTERED' && 'epoch' in heard.message) epoch = Number(heard.message.epoch);
      });
    }
    await world.until(() => evil.connected);
    const say = (topic: string, message: object): void => {
      evil.publish(topic, encode(message, random.chance(0.5) ? 'cbor' : 'json'), { qos: 1 }).catch(ignore);
    };
    say('mesq/agents/evil/up', { v: 1, ...greeting('evil') });
    say('mesq/frameworks/evil/call', { v: 1, type: 'SUBSCRIBE', roles: ['evil'] });
    await world.clock.advance(1_000);
    t.true(epoch > 0);
    for (let said = 0; said < MESSAGES; said++) {
      const made = nonsense(vocabulary, random, epoch);
      if (made === undefined) continue;
      const { topic, message } = made;
      say(topic, message);
      try {
        await world.clock.advance(random.below(50));
      } catch (error) {
        t.log(topic, JSON.stringify(message));
        throw error;
      }
    }
    await world.clock.advance(120_000);
    t.deepEqual(world.fatal, []);

    stopBatch();
    world.killMaster();
    t.is(await world.start(), undefined, 'it recovers');
    stopBatch = startBatch(world);
    const fresh = new SimulatedAgent(world, 'fresh');
    await fresh.start();
    const after = new ScriptedFramework(world, 'after');
    await after.subscribe(['after']);
    const offered = (): string | undefined =>
      after
        .of('OFFERS')
        .flatMap(({ offers }) => offers)
        .find(({ name, offer }) => name === 'fresh' && after.offers().includes(offer))?.offer;
    await world.until(() => offered() !== undefined, 120_000);
    await after.launch([task('well', { runMs: 50 })], [offered() ?? '']);
    await world.clock.advance(5_000);
    t.is(after.states('well').at(-1), 'TASK_FINISHED');
    t.deepEqual(world.fatal, []);
    stopBatch();
  });
}

function ignore(): void {}
