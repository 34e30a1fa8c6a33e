/// <reference types="node" preserve="true" />
// For programs that name no types of their own: all of what is exported knows Node.
/** The exports for a program that embeds Errand; docs/library.md shows how they are used. */
export { builtinActionRegistry } from './actions/registry.ts'
export { ErrandClient } from './client/client.ts'
export { HttpHost } from './compat/host-agent/http-host.ts'
export { type ActionCatalog, type ActionContract, builtinActions } from './contract/actions.ts'
export { type AttemptEnd, type AttemptReport, type AttemptSpec, StreamName } from './contract/attempt.ts'
export { ErrandError, type ErrorCode } from './contract/errors.ts'
export { type EventOf, type EventType, RunEvent } from './contract/events.ts'
export { newRunId } from './contract/ids.ts'
export type { RunRecord, RunSummary, RunView } from './contract/run.ts'
export type { AttemptOutcome, Reason, RunStatus, StepStatus } from './contract/status.ts'
export type { TaskInput } from './contract/tasks/task.ts'
export type { Workflow, WorkflowFile } from './contract/workflow.ts'
export type { EngineFace, EngineOptions, Submission } from './engine/api.ts'
export { Engine } from './engine/engine.ts'
export type {
  AttemptSink,
  Clock,
  Notification,
  Notifier,
  OutputStore,
  Placement,
  RunPage,
  RunQuery,
  RunSecrets,
  RunStore,
  SecretSource,
  StepHost,
} from './engine/ports.ts'
export { checkWorkflow, parseWorkflow } from './engine/workflow-file/check.ts'
export { formatProblem, type Problem } from './engine/workflow-file/problems.ts'
export { workflowSchema } from './engine/workflow-file/schema.ts'
export { type RunTaskOptions, runTask, type TaskOutcome } from './library/run-task.ts'
export { LocalHost } from './runner/local/local-host.ts'
export type { Action, ActionRegistry, InlineContext, InlineResult, ProcessPlan } from './runner/ports.ts'
export { BoundedOutputStore } from './stores/outputs/bounded.ts'
export { FileRunStore } from './stores/runs/file.ts'
export { MemoryRunStore } from './stores/runs/memory.ts'
export { GivenSecrets } from './stores/secrets/given-secrets.ts'
export { openSqliteRunStore } from './stores/sqlite/open.ts'
