import { FENCING, type Mutant } from './mutant.ts';

const AGENT = ['agent/agent.test.js', 'agent/crashes.test.js'];

/** Between masters and agents: nothing runs twice, and nobody obeys the past. */
export const FENCING_MUTANTS: readonly Mutant[] = [
  {
    name: 'a launch is applied to another epoch of the agent',
    file: 'master/registry/apply-tasks.js',
    from: "agent.state !== 'active' || agent.epoch !== command.epoch",
    to: "agent.state !== 'active'",
    tests: FENCING,
  },
  {
    name: 'the agent obeys commands of another epoch',
    file: 'agent/session.js',
    from: 'message.epoch !== this.#world.durable.state.epoch || !this.#established',
    to: '!this.#established',
    tests: AGENT,
  },
  {
    name: 'the agent obeys an older leader',
    file: 'agent/session.js',
    from: 'fence.generation < state.generation || (fence.generation === state.generation && fence.term < state.term)',
    to: 'false',
    tests: AGENT,
  },
  {
    name: 'an attempt is launched twice',
    file: 'master/registry/apply-tasks.js',
    from: 'if (known !== undefined || registry.finished.has(taskKey(command.framework, info.task, info.attempt))) {',
    to: 'if (false) {',
    tests: FENCING,
  },
  {
    name: 'a delayed copy of an older registration is taken',
    file: 'master/registry/apply-agents.js',
    from: 'command.counter < known.counter',
    to: 'false',
    tests: FENCING,
  },
  {
    name: 'a request is done as often as it comes',
    file: 'master/operator-requests.js',
    from: 'const before = desk.leader.registry.requests.get(`${asker.principal.name}/${asker.request}`);',
    to: 'const before = undefined;',
    tests: FENCING,
  },
  {
    name: 'free resources are not looked at when a launch is applied',
    file: 'master/registry/apply-tasks.js',
    from: '!contains(free, info.resources)',
    to: 'false',
    tests: FENCING,
  },
  {
    name: 'a registration that comes twice gives two epochs',
    file: 'master/registry/apply-agents.js',
    from: 'known.counter === command.counter &&',
    to: 'false &&',
    tests: FENCING,
  },
  {
    name: 'an unreachable agent is acted on before that is committed',
    file: 'master/agent-sessions.js',
    from: "this.#leader.propose({\n                    kind: 'AGENT_UNREACHABLE',",
    to: "agent.state = 'unreachable';\n                void ({\n                    kind: 'AGENT_UNREACHABLE',",
    tests: FENCING,
  },
  {
    name: 'a new leader gives agents no full lease',
    file: 'master/liveness/contacts.js',
    from: 'sinceMs: nowMs + this.#lease(metered)',
    to: 'sinceMs: nowMs',
    tests: ['master/liveness.test.js'],
  },
  {
    name: 'the agent starts before its acceptance is durable',
    file: 'agent/durable-state.js',
    from: 'await durable;',
    to: 'void durable;',
    tests: AGENT,
  },
  {
    name: 'a start is claimed twice',
    file: 'io/node/launcher.js',
    from: "{ flag: 'wx', mode: 0o600 }",
    to: "{ flag: 'w', mode: 0o600 }",
    tests: ['io/launcher.test.js'],
    match: 'real: *claim*',
  },
];
