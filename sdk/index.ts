/** The public SDK: write a framework (Scheduler, SchedulerDriver; Executor, ExecutorDriver), or a client of the operator API. */
export type { Bus, BusMessage, PublishOptions, QoS } from '../io/bus.ts';
export { BusError } from '../io/bus.ts';
export type { Clock, Timer } from '../io/clock.ts';
export type { LineConnection } from '../io/line-socket.ts';
export type { Log, LogFields } from '../io/log.ts';
export type { Random } from '../io/random.ts';
export type { Encoding } from '../protocol/envelope.ts';
export type { LaunchedTask } from '../protocol/executor.ts';
export { FAULTS, Fault, type FaultCode } from '../protocol/faults.ts';
export type { JobSpec, JobState, JobView, TaskView } from '../protocol/job.ts';
export type { Offer } from '../protocol/offer.ts';
export type { OperationState, OperationStatus } from '../protocol/operations.ts';
export type { Principal } from '../protocol/operator.ts';
export type { Quantities } from '../protocol/quantities.ts';
export type { Resource, Resources } from '../protocol/resources.ts';
export { formatResources, parseResources } from '../protocol/resources.ts';
export type { InverseOffer, StatusEvent } from '../protocol/scheduler.ts';
export { type ExecutorInfo, isTerminal, type Reason, type TaskInfo, type TaskState } from '../protocol/task.ts';
export type { UploadOptions, UploadProgress, UploadSource } from './blob-upload.ts';
export { type Client, type ClientOptions, createClient } from './client.ts';
export type { ExecOptions, ExecPiece, ExecSession } from './exec-session.ts';
export type { Executor, ExecutorRegistration } from './executor.ts';
export {
  createExecutorDriver,
  ExecutorDriver,
  type ExecutorDriverOptions,
  type ExecutorDriverStatus,
  type ExecutorUpdate,
} from './executor-driver.ts';
export { fits, type Needs, type Packed, pack } from './offers.ts';
export type { OutputPiece, ReadFileOptions, ReadOutputOptions } from './output-reader.ts';
export type { ClientRequest, Registration, Scheduler } from './scheduler.ts';
export { createSchedulerDriver, SchedulerDriver } from './scheduler-driver.ts';
export type {
  DriverStatus,
  Filters,
  FrameworkTerms,
  Launch,
  LaunchGroup,
  OfferOperation,
  ReplyPart,
  ResourceChange,
  ResourceRequest,
  SchedulerDriverOptions,
  ShownThing,
  TaskLaunch,
} from './scheduler-driver-options.ts';
export type { StoreEntry } from './store-requests.ts';
export { TestBroker, TestBus } from './test-bus.ts';
export { TestClock } from './test-clock.ts';
export { startTestCluster, type TestCluster, type TestClusterOptions } from './test-cluster.ts';
export { TestMaster, type TestMasterOptions } from './test-master.ts';
export type { TestAgent } from './test-offers.ts';
export { TestRandom } from './test-random.ts';
export type { TestTask } from './test-tasks.ts';
