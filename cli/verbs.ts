import type { VerbEntry } from './verb.ts';

/** Every verb there is, in the order of `mesq help`. */
export const VERBS = {
  up: { summary: 'run a whole cluster on this machine', load: async () => (await import('./up.ts')).up },
  master: { summary: 'run one master', load: async () => (await import('./master.ts')).master },
  agent: { summary: 'run one agent', load: async () => (await import('./agent.ts')).agent },
  run: {
    summary: 'run a command in the cluster and follow its output',
    load: async () => (await import('./run.ts')).run,
  },
  submit: { summary: 'submit a job file', load: async () => (await import('./submit.ts')).submit },
  jobs: { summary: 'list jobs, newest first', load: async () => (await import('./jobs.ts')).jobs },
  job: { summary: 'show one job', load: async () => (await import('./job.ts')).job },
  ps: { summary: 'list tasks, those of the newest job first', load: async () => (await import('./ps.ts')).ps },
  wait: { summary: 'wait for a job to end', load: async () => (await import('./wait.ts')).wait },
  logs: { summary: "show a task's output", load: async () => (await import('./logs.ts')).logs },
  attach: { summary: 'follow a job that was left', load: async () => (await import('./attach.ts')).attach },
  exec: { summary: 'run a command beside a task', load: async () => (await import('./exec.ts')).exec },
  fetch: { summary: 'copy a file of a task here', load: async () => (await import('./fetch.ts')).fetchFile },
  why: { summary: 'say why a job waits', load: async () => (await import('./why.ts')).why },
  cancel: { summary: 'stop a job', load: async () => (await import('./cancel.ts')).cancel },
  kill: { summary: 'stop one task', load: async () => (await import('./kill.ts')).kill },
  agents: { summary: 'list agents', load: async () => (await import('./agents.ts')).agents },
  masters: { summary: 'list masters', load: async () => (await import('./masters.ts')).masters },
  frameworks: { summary: 'list frameworks', load: async () => (await import('./frameworks.ts')).frameworks },
  offers: { summary: 'list outstanding offers', load: async () => (await import('./offers.ts')).offers },
  roles: { summary: 'list roles, with weights and quotas', load: async () => (await import('./roles.ts')).roles },
  events: { summary: 'show what happened', load: async () => (await import('./events.ts')).events },
  quota: { summary: 'guarantee or limit what a role holds', load: async () => (await import('./quota.ts')).quota },
  weight: { summary: 'give a role more or less of a share', load: async () => (await import('./weight.ts')).weight },
  reserve: { summary: 'reserve part of an agent for a role', load: async () => (await import('./reserve.ts')).reserve },
  unreserve: { summary: 'give a reservation back', load: async () => (await import('./reserve.ts')).unreserve },
  drain: { summary: 'let an agent run empty', load: async () => (await import('./drain.ts')).drain },
  resume: { summary: 'end the drain of an agent', load: async () => (await import('./resume.ts')).resume },
  teardown: { summary: 'remove a framework and its tasks', load: async () => (await import('./teardown.ts')).teardown },
  gone: { summary: 'declare an agent gone for ever', load: async () => (await import('./gone.ts')).gone },
  backup: { summary: 'keep the registry in a file', load: async () => (await import('./backup.ts')).backup },
  restore: {
    summary: 'begin a master from a backup, or in place of a lost one',
    load: async () => (await import('./restore.ts')).restore,
  },
  token: { summary: 'make, list or revoke tokens', load: async () => (await import('./token.ts')).token },
  doctor: { summary: 'check this machine and the cluster', load: async () => (await import('./doctor.ts')).doctor },
} as const satisfies Record<string, VerbEntry>;

export type VerbName = keyof typeof VERBS;
