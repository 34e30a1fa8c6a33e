import assert from 'node:assert/strict'
import { join } from 'node:path'
import test from 'node:test'
import { errandCommand } from '../support/errand-command.ts'
import { startPrograms, writeWorkflow } from '../support/programs.ts'
import { sandboxMissing } from '../support/runner/box-fixture.ts'
import { silentEngine } from '../support/silent-engine.ts'

test('a runner beside a silent container engine starts, works, and says why it provides no containers', async (t) => {
  const engine = await silentEngine(t)
  const programs = await startPrograms(t, { runnerEnv: { DOCKER_HOST: engine } })
  const file = writeWorkflow(join(programs.home, 'flow.yaml'), [{ name: 'one', cmd: 'echo done' }])
  for (const id of ['first', 'second']) {
    const { code, stderr } = await programs.call('run', '--hub', '--detach', '--run-id', id, file)
    assert.equal(code, 0, stderr)
    assert.equal((await programs.ended(id)).status, 'success')
  }
  const { usable, why } = (await programs.client.runners.list())[0]!.isolation!.container
  assert.equal(usable, false)
  assert.match(why!, /hangs: it did not describe itself within 2 s\. Find out what blocks it/)
  assert.equal(programs.runner!.child.exitCode, null)
})

test('errand run puts a step into a sandbox beside a silent container engine', {
  skip: sandboxMissing(),
}, async (t) => {
  const DOCKER_HOST = await silentEngine(t)
  const errand = errandCommand(t)
  const file = writeWorkflow(join(errand.home, 'flow.yaml'), [{ name: 'one', cmd: 'id -un' }])
  const env = { DOCKER_HOST, ERRAND_ISOLATION: 'sandbox', ERRAND_NETWORK: 'none' }
  const ended = await errand.run(['run', file], { env })
  assert.equal(ended.code, 0, ended.stderr)
  assert.match(ended.stdout, /^local \| errand$/m)
})
