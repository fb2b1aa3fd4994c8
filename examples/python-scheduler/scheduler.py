#!/usr/bin/env python3
"""A scheduler in MQTT and JSON alone: runs N tasks and exits with 0 once all have finished.

    python3 scheduler.py --url mqtt://127.0.0.1:1883 --tasks 5

docs/writing-a-scheduler.md explains it; it needs paho 1.x or 2.x (Debian: python3-paho-mqtt).
It keeps no file. Its tasks' names follow from --run, and the master answers for every one of them: whoever starts it
again under the same name and --run, on any machine, goes on where it was.
"""
import argparse
import json
import os
import queue
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt

NEEDS = {"cpus": 500, "mem": 32_000}  # of each task, in thousandths
TRY_AGAIN = {"TASK_DROPPED", "TASK_LOST", "TASK_GONE", "TASK_GONE_BY_OPERATOR"}  # not its fault: another attempt
SILENCE_S = 5  # then what may have been lost is said again

parser = argparse.ArgumentParser()
parser.add_argument("--url", default=os.environ.get("MESQ_URL", "mqtt://127.0.0.1:1883"))
parser.add_argument("--token", default=os.environ.get("MESQ_TOKEN", "python"), help="name:secret; here, a name will do")
for option, default in {"--run": "run-1", "--tasks": 5, "--sleep": 0.0}.items():
    parser.add_argument(option, default=default, type=type(default))
options = parser.parse_args()
name, _, secret = options.token.partition(":")
mine = f"mesq/frameworks/{name}"
inbox = queue.Queue()  # everything happens in one thread, in order
# Of each task: "asked" until the master has told, then "wanted", "placed" or "finished".
state = {f"{options.run}-{index}": "asked" for index in range(options.tasks)}
attempt, told = dict.fromkeys(state, 0), {}
subscribed = 0  # the term of the leader that has taken this scheduler in


def call(kind, **fields):
    return client.publish(f"{mine}/call", json.dumps({"v": 1, "type": kind, **fields}), qos=1)


def subscribe():
    global subscribed
    subscribed = 0
    call("SUBSCRIBE", roles=["*"])


def reconcile():
    """Whatever is not known for sure is asked for; every task that is named is answered."""
    named = [{"task": task} for task in state if state[task] == "asked"]  # the newest attempt there is
    named += [{"task": task, "attempt": attempt[task]} for task in state if state[task] == "placed"]
    for at in range(0, len(named), 100):
        call("RECONCILE", tasks=named[at : at + 100])


def take(left):
    """Takes one task's needs out of what an offer has left, entry by entry; None where they do not fit."""
    taken = []
    for resource, missing in NEEDS.items():
        for entry in left:
            if missing > 0 and entry["name"] == resource and "revocable" not in entry:
                taken.append((entry, min(missing, entry["scalar"])))
                missing -= taken[-1][1]
        if missing > 0:
            return None
    for entry, amount in taken:
        entry["scalar"] -= amount
    return [{**entry, "scalar": amount} for entry, amount in taken if amount > 0]


def offered(offer):
    tasks = []  # an ACCEPT of none is a decline
    for task in [task for task in state if state[task] == "wanted"]:
        resources = take(offer["resources"])
        if resources is None:
            break
        argv = ["sh", "-c", 'sleep "$1"; echo "done: $2"', "sh", str(options.sleep), task]
        tasks.append({"task": task, "attempt": attempt[task], "argv": argv, "resources": resources})
        state[task] = "placed"
    refuse = 1_000 if "wanted" in state.values() else 3_600_000  # without work, nothing for an hour
    call("ACCEPT", offers=[offer["offer"]], operations=[{"type": "LAUNCH", "tasks": tasks}], refuseMs=refuse)


def updated(update):
    task, what = update["task"], update["state"]
    if update["acknowledge"]:
        call("ACKNOWLEDGE", updates=[{"task": task, "uuid": update["uuid"]}])
    if task not in state or state[task] == "finished" or update["attempt"] < attempt[task]:
        return
    if told.get(task) != what:
        print(f"{task} {what} {update.get('message', '')}", flush=True)
    attempt[task], told[task] = update["attempt"], what
    if what in ("TASK_FAILED", "TASK_KILLED", "TASK_ERROR"):
        raise SystemExit(f"{task} ended as {what}")
    if what == "TASK_FINISHED":
        state[task] = "finished"
    elif what in TRY_AGAIN or what == "TASK_UNKNOWN":  # unknown: that attempt was never launched
        attempt[task] += what in TRY_AGAIN
        state[task] = "wanted"
    else:
        state[task] = "placed"


def heard(topic, event):
    global subscribed
    if topic == "refused":
        if event != 2:  # 2: another process has this name; this one stands by, and takes over
            raise SystemExit(f"the broker refused {name} with code {event}")
    elif topic == "connected" or (topic == "mesq/leader" and 0 < subscribed < event["term"]):
        subscribe()
    elif topic == "mesq/leader":
        pass
    elif event["type"] == "SUBSCRIBED":
        subscribed = event["term"]
        print("subscribed", flush=True)
        reconcile()
    elif event["type"] == "OFFERS":
        for offer in event["offers"]:
            offered(offer)
    elif event["type"] == "UPDATE":
        for update in event["updates"]:
            updated(update)
        if "wanted" in state.values():
            call("REVIVE")  # clears what was refused
    elif event["type"] == "ERROR":
        if event["fault"]["code"] != "NOT_REGISTERED":
            raise SystemExit(event["fault"])
        if subscribed:
            subscribe()


v2 = [mqtt.CallbackAPIVersion.VERSION1] if hasattr(mqtt, "CallbackAPIVersion") else []  # paho 2.x asks which
client = mqtt.Client(*v2, client_id=f"{name}~{os.urandom(4).hex()}")
client.username_pw_set(name, secret or None)
topics = [("mesq/leader", 1), (f"{mine}/event", 1), (f"{mine}/offers", 1)]
client.on_connect = lambda *given: inbox.put(("refused", given[3])) if given[3] else client.subscribe(topics)
client.on_subscribe = lambda *_: inbox.put(("connected", None))
client.on_message = lambda *given: given[2].payload and inbox.put((given[2].topic, json.loads(given[2].payload)))
url = urlsplit(options.url)
if url.scheme == "mqtts":
    client.tls_set()
client.connect_async(url.hostname, url.port or 1883, keepalive=10)
client.loop_start()
while not all(known == "finished" for known in state.values()):
    try:
        heard(*inbox.get(timeout=SILENCE_S))
    except queue.Empty:
        reconcile() if subscribed else subscribe()
call("TEARDOWN").wait_for_publish(5)
print(f"all {options.tasks} tasks have finished")
