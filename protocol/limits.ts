/** Every bound, in one place. What is over a bound is cut, refused with a fault, or dropped and counted. */
export const LIMITS = {
  /** Bytes of one MQTT payload that anybody may send. */
  payloadBytes: 65_536,
  /** Maps and lists in each other, in one message. */
  nesting: 32,
  /** Where a list is cut into parts; leaves room for envelope and topic. */
  partBytes: 49_152,
  /** Bytes of one entry of the log: a registry command, or a part of one. */
  commandBytes: 49_152,
  /** Masters of a cluster, learners apart. */
  masters: 9,
  /** Entries in one message between masters. */
  entriesPerAppend: 256,
  /** Bytes of a registry command that is cut into parts: the list of tasks of a large agent. */
  longCommandBytes: 8_388_608,
  /** Bytes of one slice of a snapshot. */
  sliceBytes: 1_048_576,
  /** Bytes of one `state/` topic (MQTT Explorer cuts at 20,000). */
  stateBytes: 20_000,
  /** Topics below `state/`. */
  stateTopics: 200_000,
  /** Bytes of a `state/` topic with plotted numbers. */
  plottedBytes: 150,
  /** Bytes that one framework shows below `state/`, 512 more counted for each thing. */
  shownBytes: 2_097_152,
  /** Operations in one ACCEPT. */
  operations: 100,
  /** Operations on resources whose end their frameworks have not acknowledged. */
  operationsKept: 10_000,
  /** Persistent volumes of one agent. */
  volumesPerAgent: 50,
  /** Tasks in one agent message. */
  tasksPerMessage: 100,
  /** Tasks in one LAUNCH_GROUP. */
  tasksPerGroup: 50,
  /** Live tasks of one executor: their names fit into a line. */
  tasksPerExecutor: 300,
  /** Processes and threads of one task; an executor has as many for each of its tasks. */
  taskProcesses: 4_096,
  /** Executors that run on one agent… */
  executorsPerAgent: 300,
  /** …and those that have ended, of which the newest are kept with their output. */
  executorsKept: 20,
  /** Bytes of one line between an agent and an executor. */
  lineBytes: 65_536,
  /** Messages of frameworks and executors that wait on an agent for one executor to subscribe. */
  executorMessages: 100,
  /** Live tasks of one agent. */
  tasksPerAgent: 10_000,
  /** Live tasks of the cluster. */
  tasks: 100_000,
  agents: 20_000,
  frameworks: 1_000,
  /** Roles with a weight or a quota of their own. */
  roles: 5_000,
  /** Tasks in one job array. */
  jobCount: 10_000,
  /** Live jobs of one batch framework. */
  jobs: 10_000,
  /** Finished tasks kept in the registry… */
  finishedTasks: 10_000,
  /** …and for how long. */
  finishedTaskMs: 7 * 24 * 3_600_000,
  /** Finished tasks kept as `state/` topics. */
  finishedTaskTopics: 1_000,
  /** Requests remembered with their outcome, so that each may be repeated. */
  requests: 10_000,
  /** Bytes of one value in a framework's store. */
  storeValueBytes: 32_768,
  /** Keys, and bytes of values, in the stores of all frameworks, except the built-in ones… */
  storeKeys: 5_000,
  storeBytes: 67_108_864,
  /** …in that of one framework… */
  storeKeysPerFramework: 1_000,
  storeBytesPerFramework: 8_388_608,
  /** …and in that of one built-in framework, which holds the jobs of everybody. */
  storeKeysBuiltIn: 20_000,
  storeBytesBuiltIn: 268_435_456,
  /** Updates of one task that wait for the framework's acknowledgement. */
  unacknowledgedPerTask: 16,
  tokens: 10_000,
  /** Characters. */
  idLength: 64,
  messageLength: 500,
  dataLength: 8_192,
  argumentLength: 16_384,
  arguments: 1_000,
  environmentNames: 200,
  environmentLength: 16_384,
  /** Labels of one task. */
  labels: 64,
  labelNameLength: 128,
  labelLength: 1_024,
  /** Ports of a task's discovery info. */
  discoveryPorts: 100,
  /** Characters of the path of an HTTP check. */
  pathLength: 1_024,
  /** Characters of the path of a file in a sandbox. */
  sandboxPathLength: 512,
  /** What a task fetches before it starts: how many things, and characters of where one is. */
  artifactsPerTask: 32,
  artifactUriLength: 2_048,
  /** Artifacts that one agent fetches at once; more wait for their turn. */
  artifactFetches: 2,
  /** Bytes that an agent keeps of what it has fetched, where nobody says, and the disk is large enough. */
  artifactCacheBytes: 2_147_483_648,
  /** Of one archive: its files, folders and links, and bytes of them unpacked (and never more than the disk has free). */
  unpackedEntries: 100_000,
  unpackedBytes: 17_179_869_184,
  /** Bytes of the disk that fetching leaves free. */
  diskReserveBytes: 67_108_864,
  /** Of a container: the name of its image, its ports, its volumes. */
  imageLength: 512,
  containerPorts: 64,
  containerVolumes: 32,
  /** Commands of checks that run at once on one agent; more wait for their turn. */
  checkCommands: 16,
  constraints: 32,
  attributes: 100,
  resources: 100,
  rangesPerResource: 2_000,
  setItems: 1_000,
  setItemLength: 255,
  resourceNameLength: 64,
  roleLength: 128,
  attributeLength: 256,
  /** Characters of resources, attributes or quantities written as text. */
  resourcesLength: 65_536,
  /** Largest scalar, in thousandths: ten thousand million units, so that sums over a cluster stay exact. */
  scalarThousandths: 10_000_000_000_000,
  /** Highest number in a range. */
  rangeEnd: 1_099_511_627_776,
  /** Characters of one constraint, and of a regular expression in it. */
  constraintLength: 256,
  patternLength: 128,
  /** Of such an expression, once what it repeats is written out; of all of a job's; and characters of what one is compared with. */
  patternSteps: 150,
  patternStepsOfJob: 600,
  matchedLength: 1_024,
  /** Longest duration that anybody may write: ten years. */
  durationMs: 315_360_000_000,
  /** Bytes of one bulk chunk. */
  chunkBytes: 32_768,
  /** Bytes of one uploaded file or folder… */
  uploadBytes: 536_870_912,
  /** …and how much of the masters' room the uploads of one owner may take, in thousandths. */
  uploadShareThousandths: 500,
  /** Blocks that one list of an upload names, and lists that its root names. */
  blocksPerList: 400,
  /** Blocks that a client has on their way to a master… */
  uploadWindow: 16,
  /** …and an agent from one: a command is never behind more than these. */
  blockWindow: 2,
  /** Blocks of one upload's content. */
  uploadBlocks: 65_536,
  /** What a block takes at least of the room for uploads, in bytes: that bounds how many files, and names in memory, there are. */
  blockRoomBytes: 8_192,
  /** Bytes that each master keeps of uploads, where its disk is ten times as large. */
  blobBytes: 1_073_741_824,
  /** Bytes a reader of a stream may be granted at once. */
  creditBytes: 1_048_576,
  /** Of `mesq exec`: sessions of one agent, each with so many bytes of one stream on the way and unread… */
  execSessions: 8,
  execWindowBytes: 262_144,
  /** …and so many of its input: in one message, and not yet taken by the program. */
  execInputBytes: 16_384,
  execInputWindowBytes: 65_536,
  /** …and of all input on its way from the masters to one agent: a command is never behind more. */
  execInputUnderwayBytes: 32_768,
  /** Rows, and columns, of a terminal. */
  terminalLines: 1_000,
  /** Bytes kept of one output stream of one task; beyond them all but the last half is dropped. */
  outputBytes: 10 * 1_048_576,
} as const;

/** Every default time, in milliseconds. */
export const TIMES = {
  keepAliveMs: 60_000,
  keepAliveMeteredMs: 240_000,
  /** What an idle agent's keep-alive grows to, where the link bears it… */
  longestKeepAliveMs: 120_000,
  /** …and a metered one's. */
  longestKeepAliveMeteredMs: 3_600_000,
  /** The longest wait of an agent before it tries a master again: one whose link is back is back before it counts as unreachable. */
  reconnectMs: 10_000,
  /**
   * Without a packet for this long an agent is disconnected: 1.5 keep-alives ([MQTT-3.1.2-24]), four times as much
   * metered; a third of it after a keep-alive that has grown.
   */
  leaseMs: 90_000,
  /** From disconnected to unreachable. */
  unreachableMs: 60_000,
  unreachableMeteredMs: 600_000,
  /** From unreachable to lost, for batch tasks. */
  lostAfterMs: 3_600_000,
  /** A broker that knows no leader for this long is left for another: its master may be cut off from the others… */
  leaderlessMs: 3_000,
  /** The same where it is said to lead, and does not answer an agent's greeting… */
  unansweredMs: 15_000,
  /** …twice as long for each in a row that knows none, up to this; all by chance down to half of it. */
  leaderlessMaxMs: 120_000,
  offerMs: 30_000,
  /** The allocator's batch. */
  allocationMs: 1_000,
  /** Default of a decline's filter (Mesos: Filters.refuse_seconds). */
  refuseMs: 5_000,
  refuseMaxMs: 31_536_000_000,
  /** Between SIGTERM and SIGKILL (Mesos: 3 s). */
  killGraceMs: 3_000,
  /** What runs on a machine that wishes to be drained, for its health, has this long to end by itself. */
  healthDrainMs: 120_000,
  /** Between SHUTDOWN and SIGKILL of an executor (Mesos: executor_shutdown_grace_period). */
  executorShutdownMs: 5_000,
  /** From the start of an executor to its SUBSCRIBE (Mesos: executor_registration_timeout)… */
  executorRegisterMs: 60_000,
  /** …and from the loss of its connection, or the restart of its agent, to the next (Mesos: 2 s, at most 15 s). */
  executorReregisterMs: 15_000,
  /** For this long an executor waits for an agent that is away; then it ends (Mesos: recovery_timeout). */
  executorRecoveryMs: 900_000,
  updateRetryMs: 10_000,
  updateRetryMaxMs: 600_000,
  /** A launch that the agent has not answered is sent again. */
  launchRetryMs: 5_000,
  /** A launch that its agent, in contact, has left unanswered for this long is dropped. */
  launchMs: 600_000,
  /** How long an agent may say nothing to the question what it has counted. */
  statsMs: 8_000,
  /** From accepted by the agent to running; then the start is taken back (Mesos: executor_registration_timeout, 1 min). */
  startMs: 300_000,
  /** An artifact's first new try, doubling… */
  artifactRetryMs: 1_000,
  /** …up to this… */
  artifactRetryMaxMs: 60_000,
  /** …and for how long an agent goes on without a byte of it, in contact with a master, and without. */
  artifactPatienceMs: 300_000,
  artifactPatienceAloneMs: 86_400_000,
  /** Between two words about one fetch, each of which crosses the link and is kept. */
  artifactWordMs: 60_000,
  artifactWordMeteredMs: 600_000,
  /** From the first SIGKILL to the word that the task does not end. */
  unkillableMs: 60_000,
  /** An upload that no live task or job names is kept for so long after its last use. */
  blobAgeMs: 7 * 24 * 3_600_000,
  /** Of checks and health checks: first, between, longest, and how long failures do not count (Mesos's). */
  checkDelayMs: 15_000,
  checkIntervalMs: 10_000,
  checkTimeoutMs: 20_000,
  checkGraceMs: 10_000,
  /** A client of `mesq exec` says so often that it is there… */
  execRenewMs: 20_000,
  /** …and without a word for this long the agent hangs up… */
  execLeaseMs: 120_000,
  /** …and kills what is left this long after. */
  execHangUpMs: 5_000,
} as const;
