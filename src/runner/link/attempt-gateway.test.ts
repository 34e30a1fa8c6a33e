import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AttemptsStandIn } from '../../../test/link/attempts-stand-in.ts'
import { command } from '../../../test/support/runner/attempt-fixture.ts'
import { AttemptGateway } from './attempt-gateway.ts'

test('the workspace of a run is removed after attempts released at the same moment, which may still use it', async () => {
  const attempts = new AttemptsStandIn(() => ({ chunks: [], forever: true }))
  const holdings = new AttemptGateway(attempts, () => {})
  const spec = command('sleep 1000')
  await holdings.start(spec, 1)
  holdings.release(spec.attempt_id, 1)
  const releasedBefore: string[][] = []
  const forget = attempts.forgetRun.bind(attempts)
  attempts.forgetRun = async (runId) => {
    releasedBefore.push([...attempts.released])
    await forget(runId)
  }
  await holdings.forgetRun(spec.run_id)
  assert.deepEqual(releasedBefore, [[spec.attempt_id]])
})
