import assert from 'node:assert/strict'
import test from 'node:test'
import { Reason } from '../../contract/status.ts'
import type { NewTaskEvent, TaskEvent } from '../../contract/tasks/task-log.ts'
import { TaskResult } from '../../contract/tasks/task-result.ts'
import { foldTask } from './evolve-task.ts'
import { resultStage, taskResult } from './task-result.ts'

const fold = (...events: NewTaskEvent[]) =>
  foldTask(events.map((event, index) => ({ ...event, seq: index + 1, time: 't' }) as TaskEvent))
const begun = (number: number): NewTaskEvent => ({
  ...{ type: 'task.try_started', run_id: `run_${number}`, number, stage: 'check' },
})

test('an open task has no result; a failed one shows the stage and the usage of all its tries', () => {
  assert.equal(taskResult(fold(begun(1))), undefined)
  const spent = { seconds: 10, tokens: 5, cpu_ms: 5_000, peak_memory_bytes: 3 * 1024 ** 2, model: 'a' }
  const ended = { type: 'task.try_ended', status: 'failed', reason: 'test', step: 'test.2' } as const
  const result = taskResult(
    fold(
      begun(1),
      { ...ended, run_id: 'run_1', reason: 'lost', spent, retry_at: 'soon' },
      begun(2),
      { ...ended, run_id: 'run_2', spent: { ...spent, peak_memory_bytes: 1, model: 'b' } },
      { type: 'task.external_artifact', kind: 'log', uri: 'http://a.test/1', size_bytes: 7 },
      { type: 'task.state', state: 'failed', reason: 'test', message: 'Tests failed.' },
    ),
  )!
  assert.deepEqual(TaskResult.parse(result), {
    success: false,
    error: { stage: 'test', reason: 'test', message: 'Tests failed.' },
    artifacts: [{ type: 'log', uri: 'http://a.test/1', size_bytes: 7 }],
    duration_seconds: 20,
    ...{ memory_mb: 3, cpu_percent: 50, llm_model: 'b', tokens_used: 10 },
  })
})

test('every reason has a stage, by itself or by the step that failed', () => {
  const stages = new Set(Reason.options.map((reason) => resultStage(reason, undefined)))
  assert.equal(stages.size, 10)
  for (const [reason, step, stage] of [
    ['gave_up', 'gave_up', 'implementation'],
    ['exit_code', 'setup', 'workspace'],
    ['action_failed', 'fix.1', 'implementation'],
    ['action_failed', 'carry.2', 'security'],
    ['lost', 'push', 'push'],
    ['timeout', 'test', 'timeout'],
    [undefined, undefined, 'other'],
  ] as const)
    assert.equal(resultStage(reason, step), stage, `${reason} ${step}`)
})
