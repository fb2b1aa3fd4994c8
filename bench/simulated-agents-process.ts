import { systemClock } from '../io/node/clock.ts';
import { createLog } from '../io/node/log.ts';
import { connectMqttBus, type MqttBus } from '../io/node/mqtt-bus.ts';
import { systemRandom } from '../io/node/random.ts';
import { randomWord } from '../io/random.ts';
import { AGENT_DOWN, AGENT_UP, PRESENCE } from '../protocol/agent-link.ts';
import { type Outgoing, PROTOCOL, read, write } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { parseResources, type Resources } from '../protocol/resources.ts';
import { topicOf } from '../protocol/topics.ts';

/**
 * The load process of bench/simulated-agents.ts: `COUNT` agents over real connections, on the words of protocol/ and
 * nothing else of an agent. Commands, one a line on standard input: `report N` lets every agent tell N times that its
 * memory has changed. Answers on standard output: `registered`, `reported`.
 */
const [, , url = '', count = '0'] = process.argv;
const log = createLog({ level: 'error' });

class SimulatedAgent {
  readonly name: string;
  readonly #bus: MqttBus;
  readonly #incarnation = randomWord(systemRandom, 16);
  readonly registered: Promise<void>;
  #epoch = 0;

  constructor(name: string) {
    this.name = name;
    const presence = topicOf('mesq', { kind: 'presence', name });
    this.#bus = connectMqttBus({
      urls: [url],
      clientId: `${name}~bench`,
      username: name,
      will: () => ({ topic: presence, payload: this.#presence(false), qos: 1 }),
      clock: systemClock,
      random: systemRandom,
      log,
    });
    this.registered = new Promise((resolve) => {
      void this.#bus.subscribe(topicOf('mesq', { kind: 'down', name }), 1, ({ payload }) => {
        const taken = read(AGENT_DOWN, payload);
        if (taken instanceof Fault) throw taken;
        if (taken.message.type === 'REFUSED') throw taken.message.fault;
        if (taken.message.type !== 'REGISTERED') return;
        this.#epoch = taken.message.epoch;
        resolve();
      });
    });
    this.#bus.onConnected(() => {
      void this.#bus.publish(presence, this.#presence(true), { qos: 1 });
      this.#register();
    });
  }

  /** Tells that its memory is now `mem`. */
  report(mem: number): Promise<void> {
    return this.#say({ type: 'REPORT', epoch: this.#epoch, resources: resources(mem), attributes: [] });
  }

  #register(): void {
    void this.#say({
      type: 'REGISTER',
      agent: `id-${this.name}`,
      name: this.name,
      identity: { machine: `machine-${this.name}`, serial: '' },
      incarnation: this.#incarnation,
      counter: 1,
      versions: { min: PROTOCOL.min, max: PROTOCOL.max, features: [] },
      hostname: this.name,
      boot: 'boot',
      metered: false,
      resources: resources(1_024),
      attributes: [],
      tasks: [],
      part: 0,
      last: true,
    });
  }

  #say(message: Outgoing<typeof AGENT_UP>): Promise<void> {
    return this.#bus.publish(topicOf('mesq', { kind: 'up', name: this.name }), write(AGENT_UP, message), { qos: 1 });
  }

  #presence(online: boolean): Uint8Array {
    return write(PRESENCE, { type: 'PRESENCE', incarnation: this.#incarnation, session: 1, online });
  }
}

function resources(mem: number): Resources {
  const parsed = parseResources(`cpus:4;mem:${mem};disk:10000;ports:[31000-32000]`);
  if (parsed instanceof Fault) throw parsed;
  return parsed;
}

const agents = Array.from({ length: Number(count) }, (_, at) => new SimulatedAgent(`s${at}`));
await Promise.all(agents.map(({ registered }) => registered));
console.log('registered');

let mem = 1_024;
process.stdin.setEncoding('utf8').on('data', (text: string) => {
  void (async () => {
    const rounds = Number(/report (\d+)/.exec(text)?.[1] ?? 0);
    for (let round = 0; round < rounds; round++) {
      mem += 100;
      // Each waits for its acknowledgement, as an agent's one report does.
      await Promise.all(agents.map((agent) => agent.report(mem)));
    }
    console.log(`reported ${mem}`);
  })();
});
