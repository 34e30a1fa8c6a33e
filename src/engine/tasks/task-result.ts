import type { Reason } from '../../contract/status.ts'
import { isFinalTask } from '../../contract/tasks/task.ts'
import type { ResultStage, TaskResult } from '../../contract/tasks/task-result.ts'
import { spentOf, type TaskFold } from './evolve-task.ts'

const reasons: Readonly<Record<Exclude<ResultStage, 'other'>, readonly Reason[]>> = {
  context: ['task_invalid', 'invalid_argument'],
  workspace: [
    ...(['workspace', 'conflict', 'repo_not_found', 'repo_auth', 'repo_archived', 'repo_refused'] as const),
    ...(['base_missing', 'history_missing', 'push_denied', 'branch_taken', 'disk_full'] as const),
  ],
  implementation: ['model', 'budget', 'verify', 'gave_up', 'review', 'denied', 'permission', 'rejected'],
  test: ['test'],
  security: ['unsafe_change', 'protected_path', 'too_large'],
  push: [
    ...(['push_refused', 'branch_moved', 'protected_branch', 'pull_request'] as const),
    ...(['forge_denied', 'forge_busy', 'forge_away'] as const),
  ],
  artifact_upload: ['artifact_upload'],
  timeout: ['timeout'],
  resources: ['oom', 'quota'],
}
const stageByReason = new Map(
  Object.entries(reasons).flatMap(([stage, all]) =>
    all.map((reason) => [reason, stage as ResultStage] as const),
  ),
)

/** Returns the stage of a failure; a reason that is possible in any stage is assigned by the step that failed. */
export function resultStage(reason: Reason | undefined, step: string | undefined): ResultStage {
  const stage = reason && stageByReason.get(reason)
  if (stage !== undefined) return stage
  if (step === undefined) return 'other'
  if (/^(check|workspace|setup)$/.test(step)) return 'workspace'
  if (/^(plan|plan_approval|implement|review|fix)(\.\d+)?$/.test(step)) return 'implementation'
  if (/^test(\.\d+)?$/.test(step)) return 'test'
  if (/^carry(\.\d+)?$/.test(step)) return 'security'
  return /^(push|pull_request)$/.test(step) ? 'push' : 'other'
}

const MB = 1024 ** 2

/** Returns the result of a task that has ended, or only waits to be merged; undefined while it is in progress. */
export function taskResult(fold: TaskFold): TaskResult | undefined {
  const { state, reason, message, tries } = fold
  if (!isFinalTask(state) && state !== 'in_review') return undefined
  const success = state === 'done' || state === 'no_change' || state === 'in_review'
  const { seconds, tokens, peak_memory_bytes, cpu_ms, model } = spentOf(fold)
  return {
    success,
    ...(!success && { error: { stage: resultStage(reason, tries.at(-1)?.step), reason, message } }),
    artifacts: [
      ...fold.artifacts.map(({ run_id, artifact: { artifact_id, kind, name, bytes } }) => ({
        ...{ type: kind, uri: `errand://artifact/${run_id}/${artifact_id}`, size_bytes: bytes, name },
      })),
      ...fold.foreign_artifacts.map(({ kind, uri, size_bytes = 0 }) => ({ type: kind, uri, size_bytes })),
    ],
    duration_seconds: seconds,
    memory_mb: peak_memory_bytes === undefined ? undefined : Math.ceil(peak_memory_bytes / MB),
    cpu_percent:
      cpu_ms === undefined || seconds === 0 ? undefined : Math.round((cpu_ms / seconds / 10) * 10) / 10,
    llm_model: model,
    tokens_used: tokens,
  }
}
