import assert from 'node:assert/strict'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { startModelServer, writeFileScript } from '../support/model-server/server.ts'
import { freePort, processesOf, startPrograms } from '../support/programs.ts'

const KEY = 'sk-the-real-key-of-the-service-0123456789'

test('an agent reaches its model through a gate beside its runner, without a key on its side; both end together', async (t) => {
  const server = await startModelServer({ script: writeFileScript('made.txt', 'by the model'), keys: [KEY] })
  t.after(() => server.stop())
  const programs = await startPrograms(t, { runner: 'none' })
  const { errand, home, url, data, runnerFolder } = programs
  const folder = join(home, 'gate')
  mkdirSync(folder)
  const keys = { OPENAI_API_KEY: KEY, OPENAI_BASE_URL: `${server.url}/v1`, AZURE_API_KEY: 'of-another' }
  const gate = errand.start(['runner', 'model-gate', '--port', String(await freePort())], {
    env: { ...keys, ERRAND_MODEL_GATE: folder },
  })
  const token = readFileSync(join(data, 'runner-token'), 'utf8').trim()
  const runner = errand.start(['runner', '--id', 'apart', '--workspace', runnerFolder], {
    env: {
      ...{ ERRAND_HUB_URL: url, ERRAND_TOKEN: token, ERRAND_MODEL_GATE: folder },
    },
  })
  await runner.until('Connected to the hub')
  const agent = {
    ...{ name: 'write', action: 'agent.run' },
    args: { agent: 'builtin', model: 'test-model', prompt: 'Write it.', permissions: 'allow' },
  }
  const cmd = 'cat made.txt; env; cat /proc/$PPID/environ'
  const look = { name: 'look', needs: ['write'], action: 'cmd.run', args: { cmd } }
  const yaml = JSON.stringify({ version: 'v0.1', name: 'gate', steps: [agent, look] })
  const run = await programs.ended((await programs.client.runs.create({ yaml })).run_id)
  assert.equal(run.status, 'success', JSON.stringify(run))
  const { stdout } = await programs.call('runs', 'logs', run.run_id)
  assert.match(stdout, /by the model/)
  assert.ok(!stdout.includes(KEY))
  assert.deepEqual(processesOf(KEY), [gate.child.pid])
  runner.child.kill('SIGTERM')
  await runner.finished
  const { code } = await gate.finished
  assert.equal(code, 0)
})

test('a gate without keys says which keys it accepts', async (t) => {
  const { errand, home } = await startPrograms(t, { runner: 'none' })
  const none = await errand.run(['runner', 'model-gate', '--folder', home], { env: {} })
  assert.equal(none.code, 2)
  assert.match(none.stderr, /The model gate has no key\.\n.*It can replace .*ANTHROPIC_API_KEY/)
  const nowhere = await errand.run(['runner', 'model-gate'], { env: {} })
  assert.match(nowhere.stderr, /the folder of the gate is missing/)
})
