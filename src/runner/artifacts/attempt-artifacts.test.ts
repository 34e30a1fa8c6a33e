import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { attemptSpec, endOf, place, textOf, until } from '../../../test/support/runner/attempt-fixture.ts'
import { builtinActionRegistry } from '../../actions/registry.ts'
import { ErrandError } from '../../contract/errors.ts'
import { HubAway, HubRetry } from '../link/hub-retry.ts'
import { ArtifactKeeper, type ArtifactSink } from './artifact-keeper.ts'

const needed = { artifact_id: '1.1', name: 'in.txt', bytes: 5, sha256: hash('sha256', 'bytes'), to: 'in.txt' }
const args = { needs_files: [needed], artifacts: ['*.txt'] }
const spec = () => attemptSpec('cmd.run', { cmd: 'cat in.txt; echo ran > out.txt' }, args)
const bytes = async () => Readable.from([Buffer.from('bytes')])
const away = async (_attempt: number) => Promise.reject(new HubAway('The hub does not answer.'))
const put = async () => {}
const opened = (sink: ArtifactSink) => ({
  registry: builtinActionRegistry,
  artifacts: new ArtifactKeeper(sink),
})

test('an attempt has the files it needs before it starts, and its artifacts are stored before its end', async () => {
  using here = place()
  const attempts = here.open(opened({ put, get: bytes }))
  const attempt = await attempts.start(spec(), 1)
  assert.equal((await endOf(attempt)).outcome, 'success')
  assert.equal(await textOf(attempt), 'bytes')
  const reported = attempt.reports.map((report) =>
    report.type === 'artifact' ? report.artifact.name : report.type,
  )
  assert.deepEqual(reported, ['started', 'in.txt', 'out.txt', 'ended'])
  await attempts.close()
})

test('an attempt that waits for its files is canceled, fails with their reason, or resumes after a restart', async () => {
  using here = place()
  let requests = 0
  const attempts = here.open(opened({ put, get: () => away(requests++) }))
  const canceled = await attempts.start(spec(), 1)
  await until(() => requests > 1)
  canceled.cancel(0, 'canceled')
  assert.equal((await endOf(canceled)).outcome, 'canceled')
  assert.deepEqual(
    canceled.reports.map(({ type }) => type),
    ['phase', 'ended'],
  )
  await canceled.release()
  requests = 0
  await attempts.start(spec(), 1)
  await until(() => requests > 0)
  await attempts.close()
  const ran = join(here.path, 'workspaces/run_test/out.txt')
  assert.ok(!existsSync(ran))

  const again = here.open(opened({ put, get: bytes }))
  const [attempt] = await again.recover()
  assert.equal((await endOf(attempt!)).outcome, 'success')
  assert.equal(await textOf(attempt!), 'bytes')
  await attempt!.release()
  await again.close()

  const gone = async () => Promise.reject(new ErrandError('not_found', 'It is gone.'))
  const without = here.open(opened({ put, get: gone }))
  const failed = await endOf(await without.start(spec(), 1))
  assert.deepEqual(
    [failed.outcome, failed.reason, failed.message],
    ['failed', 'action_failed', 'It is gone.'],
  )
  await without.close()
})

test('an attempt whose hub stays away is lost, and has reported once that it waits', async () => {
  using here = place()
  let requests = 0
  const retry = new HubRetry()
  retry.linked(50)
  const attempts = here.open(opened({ put, get: () => away(requests++), retry }))
  const attempt = await attempts.start(spec(), 1)
  const end = await endOf(attempt)
  assert.deepEqual(
    [end.outcome, end.reason, end.message],
    ['interrupted', 'lost', 'The hub does not answer.'],
  )
  assert.ok(requests > 1)
  assert.deepEqual(attempt.reports.slice(0, -1), [
    { type: 'phase', phase: 'needs_files', message: 'The hub does not answer. Trying again.' },
  ])
  await attempts.close()
})

test('a cancel ends the wait for an unavailable hub, and the end says what is lost', async () => {
  using here = place()
  let requests = 0
  const attempts = here.open(opened({ put: () => away(requests++), get: bytes }))
  const attempt = await attempts.start(spec(), 1)
  await until(() => requests > 0)
  attempt.cancel(5_000, 'canceled')
  const end = await endOf(attempt)
  assert.equal(end.outcome, 'success')
  assert.match(
    end.message!,
    /^artifact_upload: in\.txt, out\.txt could not be stored: the attempt had to end\.$/,
  )
  await attempts.close()
})
