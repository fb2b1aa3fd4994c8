"""Runs the data of each task with sh. The lines are those of docs/executors.md; Python is all it needs."""
import json, os, signal, socket, subprocess, threading, time, uuid
tasks, waiting, lock, agent, seen = {}, [], threading.RLock(), None, time.monotonic()
def say(message):
    try: agent.sendall(json.dumps(message).encode() + b'\n')
    except OSError: pass  # An update that waits is said again when the agent is back.
def update(task, state, **more):
    with lock: waiting.append({'type': 'UPDATE', **task, 'uuid': f'u{uuid.uuid4().hex}', 'state': state, **more}); say(waiting[-1])
def run(task, process):
    code = process.wait()
    update(task, 'TASK_FINISHED' if code == 0 else 'TASK_KILLED' if code < 0 else 'TASK_FAILED', exitCode=code if code >= 0 else 128 - code)
def hear(message):
    task = {'task': message.get('task'), 'attempt': message.get('attempt')}; name = (task['task'], task['attempt'])
    if message['type'] == 'LAUNCH' and name not in tasks:
        tasks[name] = subprocess.Popen(['sh', '-c', message.get('data', 'true')], start_new_session=True)
        update(task, 'TASK_RUNNING'); threading.Thread(target=run, args=(task, tasks[name])).start()
    elif message['type'] == 'KILL' and name in tasks and tasks[name].poll() is None: os.killpg(tasks[name].pid, signal.SIGTERM if message['graceMs'] else signal.SIGKILL)
    elif message['type'] == 'ACKNOWLEDGED':
        for one in [one for one in waiting if one['uuid'] == message['uuid']]: waiting.remove(one); one['state'] == 'TASK_RUNNING' or tasks.pop(name)
    elif message['type'] == 'MESSAGE': say({'type': 'MESSAGE', 'data': message['data']})
    elif message['type'] == 'SHUTDOWN': os._exit(0)  # The agent ends what it leaves.
while time.monotonic() - seen < 900:  # An agent that stays away for 15 minutes does not come back.
    try:
        with lock:
            agent = socket.socket(socket.AF_UNIX); agent.connect(os.environ['MESQ_EXECUTOR_SOCKET'])
            for message in [{'type': 'SUBSCRIBE', 'secret': os.environ['MESQ_EXECUTOR_SECRET'], 'tasks': [{'task': t, 'attempt': a} for t, a in tasks]}, *waiting]: say(message)
        for line in agent.makefile():
            with lock: seen = time.monotonic(); hear(json.loads(line))
    except OSError: pass
    time.sleep(0.5)
