import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { ours } from '../broker/world.ts';
import { ESPHOME_MAC, esphomeNode, tasmotaPlug } from '../firmware-adapters/scripted-device.ts';
import { startMosquitto, wantsMosquitto } from '../io/mosquitto.ts';
import { Cluster, eventually, type Running } from './cluster.ts';

/** A broker that devices use: Mosquitto as it comes, or ours with everything allowed. */
async function brokerOf(t: ExecutionContext, kind: 'mosquitto' | 'ours'): Promise<string> {
  if (kind === 'mosquitto') {
    const { port, stop } = await startMosquitto();
    t.teardown(stop);
    return `mqtt://127.0.0.1:${port}`;
  }
  const { port, close } = await ours();
  t.teardown(close);
  return `mqtt://127.0.0.1:${port}`;
}

function gateway(cluster: Cluster, firmware: string, device: string): Running {
  const data = join(cluster.folder, 'gateway');
  const running = cluster.spawn([
    ...['agent', '--master', cluster.url, '--firmware', firmware, '--device', device, '--data', data],
    ...['--log', 'debug'],
  ]);
  // Under a name of no agent: the cluster ends it with everything else.
  cluster.agents.set(`gateway of ${firmware}`, running);
  return running;
}

/** Waits until the agent is in that state. */
async function stateOf(cluster: Cluster, name: string, state: string): Promise<void> {
  const client = await cluster.client();
  await eventually(async () => {
    const answer = await client.request('agents', {});
    return 'agents' in answer && answer.agents.some((agent) => agent.name === name && agent.state === state)
      ? true
      : undefined;
  });
}

for (const kind of ['ours', ...(wantsMosquitto() ? (['mosquitto'] as const) : [])] as const) {
  test(`${kind}: a device with Tasmota is found, and is an agent whose tasks are actions`, async (t) => {
    const cluster = await Cluster.start(t, { a1: {} });
    const broker = await brokerOf(t, kind);
    const plug = await tasmotaPlug(broker);
    t.teardown(() => plug.stop());
    gateway(cluster, 'tasmota', broker);
    await stateOf(cluster, 'plug1', 'active');

    const agents = await cluster.json<{ name: string; attributes: object; hostname: string }[]>('agents');
    t.like(
      agents.find(({ name }) => name === 'plug1'),
      { attributes: { runs: 'actions', board: 'tasmota', model: 'Sonoff Dual R3', version: '13.4.0', relays: '2' } },
    );

    const on = await cluster.mesq('run', '--constraint', 'board==tasmota', '--', 'relay', '2', 'on');
    t.is(on.code, 0, on.stderr);
    t.is(on.stdout, 'ON\n');
    t.true(plug.told.includes('cmnd/plug1/POWER2 ON'));

    const read = await cluster.mesq('run', '--constraint', 'agent==plug1', '--', 'sensor');
    t.like(JSON.parse(read.stdout), { DS18B20: { Temperature: 20.4 } });

    const wrong = await cluster.mesq('run', '--constraint', 'agent==plug1', '--', 'relay', '9', 'on');
    t.is(wrong.code, 1);
    t.regex(wrong.stderr, /it has 2 relays, and no 9/);
    const missing = await cluster.mesq('run', '--constraint', 'agent==plug1', '--', '/bin/sh', '-c', 'true');
    t.is(missing.code, 127);

    // A job that names no device is no matter for one.
    const job = await cluster.submit('--', 'hostname');
    t.is((await cluster.task(job, 'TASK_FINISHED')).agent, 'a1');
  });
}

test('a firmware is installed from a URL, with its stages told, while the device restarts', async (t) => {
  const cluster = await Cluster.start(t, {});
  const broker = await brokerOf(t, 'ours');
  const plug = await tasmotaPlug(broker);
  t.teardown(() => plug.stop());
  gateway(cluster, 'tasmota', `${broker}/plug1`);
  await stateOf(cluster, 'plug1', 'active');
  const url = 'http://files.lan/tasmota.bin.gz';
  const job = await cluster.submit('--constraint', 'agent==plug1', '--', 'ota', url);
  const said = (pattern: RegExp): Promise<unknown> =>
    eventually(async () => (await cluster.tasks(job)).find(({ message }) => pattern.test(message ?? '')));
  await said(/^Version 13\.4\.0 from/);
  plug.say('stat/plug1/UPGRADE', { Upgrade: 'Successful. Restarting' });
  await said(/^Successful\. Restarting/);
  plug.cut();
  await stateOf(cluster, 'plug1', 'disconnected');
  await plug.start();
  plug.say('tele/plug1/INFO1', { Info1: { Module: 'Sonoff Dual R3', Version: '13.5.0(tasmota)' } });
  const ended = await cluster.task(job, 'TASK_FINISHED');
  t.is(ended.message, 'it runs 13.5.0(tasmota)');
  t.is(ended.attempt, 0);
  t.deepEqual(plug.told.slice(-2), [`cmnd/plug1/OtaUrl ${url}`, 'cmnd/plug1/Upgrade 1']);
  await stateOf(cluster, 'plug1', 'active');
});

test('what is under way can be killed, and survives the death of the master; a gateway that dies loses it', async (t) => {
  const cluster = await Cluster.start(t, {});
  const broker = await brokerOf(t, 'ours');
  const plug = await tasmotaPlug(broker, { announces: false });
  t.teardown(() => plug.stop());
  const { obey } = plug;
  plug.obey = (topic, text) => {
    if (topic.endsWith('/Restart')) plug.say('stat/plug1/RESULT', { Restart: 'Restarting' });
    else obey(topic, text);
  };
  const running = gateway(cluster, 'tasmota', broker);
  await stateOf(cluster, 'plug1', 'active');
  t.true(plug.told.includes('cmnd/plug1/STATUS 0'), 'one that announces nothing is asked who it is');

  const killed = await cluster.submit('--constraint', 'agent==plug1', '--', 'restart');
  const { id } = await eventually(async () =>
    (await cluster.tasks(killed)).find(({ message }) => message === 'restarting'),
  );
  await cluster.mesq('kill', id);
  await cluster.task(killed, 'TASK_KILLED');

  const job = await cluster.submit('--constraint', 'agent==plug1', '--', 'restart');
  await eventually(async () => (await cluster.tasks(job)).find(({ message }) => message === 'restarting'));
  await cluster.master?.end('SIGKILL');
  await cluster.startMaster();
  await stateOf(cluster, 'plug1', 'active');
  plug.say('tele/plug1/INFO1', { Info1: { Module: 'Sonoff Dual R3', Version: '13.4.0(tasmota)' } });
  t.is((await cluster.task(job, 'TASK_FINISHED')).message, 'it is back');

  const lost = await cluster.submit('--no-requeue', '--constraint', 'agent==plug1', '--', 'restart');
  await eventually(async () => (await cluster.tasks(lost)).find(({ message }) => message === 'restarting'));
  await running.end('SIGKILL');
  gateway(cluster, 'tasmota', broker);
  t.is((await cluster.task(lost, 'TASK_FAILED')).reason, 'LAUNCHER_LOST');
});

test('a device with ESPHome is an agent too: switched, read, and given a firmware with its progress told', async (t) => {
  const cluster = await Cluster.start(t, {});
  const broker = await brokerOf(t, 'ours');
  const node = await esphomeNode(broker);
  t.teardown(() => node.stop());
  gateway(cluster, 'esphome', broker);
  await stateOf(cluster, 'greenhouse', 'active');
  const [agent] = await cluster.json<{ id: string; attributes: object }[]>('agents');
  t.like(agent, {
    attributes: { runs: 'actions', board: 'esphome', model: 'esp32dev', platform: 'ESP32', relays: '1' },
  });
  t.regex(ESPHOME_MAC, /^[0-9a-f]{12}$/);

  const run = (...argv: string[]) => cluster.mesq('run', '--constraint', 'agent==greenhouse', '--', ...argv);
  const pump = await run('relay', 'pump', 'on');
  t.is(pump.stdout, 'ON\n', pump.stderr);
  t.deepEqual(node.told, ['greenhouse/switch/pump/command ON']);
  t.deepEqual(JSON.parse((await run('sensor')).stdout), { air: { value: 21.5, unit: '°C' } });
  t.is((await run('press', 'restart')).code, 0);
  t.is((await run('relay', 'roof', 'on')).code, 1);

  const job = await cluster.submit('--constraint', 'board==esphome', '--', 'ota', 'http://files.lan/greenhouse.bin');
  const said = (pattern: RegExp): Promise<unknown> =>
    eventually(async () => (await cluster.tasks(job)).find(({ message }) => pattern.test(message ?? '')));
  await said(/^0 %$/);
  node.say('greenhouse/ota/state', { state: 'progress', percent: 42.7 });
  await said(/^42 %$/);
  node.say('greenhouse/ota/state', { state: 'installed' });
  await said(/^installed, restarting$/);
  node.cut();
  await stateOf(cluster, 'greenhouse', 'disconnected');
  await node.start();
  t.is((await cluster.task(job, 'TASK_FINISHED')).message, 'it runs the new firmware');
});
