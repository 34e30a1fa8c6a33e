import type { AttemptSpec } from '../../../src/contract/attempt.ts'

/** Returns an attempt's spec for tests of output stores. */
export const testAttempt = (attemptId: string, args: AttemptSpec['args'] = {}): AttemptSpec => ({
  attempt_id: attemptId,
  run_id: attemptId.slice(0, attemptId.lastIndexOf('.')),
  workflow_name: 'demo',
  step: 'build it/ü',
  host: 'local',
  instance: 0,
  try: 1,
  action: 'cmd.run',
  args,
  env: {},
  requires: {},
})
