import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { ScriptedAttempts } from '../../../test/support/compat/attempts-stand-in.ts'
import { createHostAgent } from './server.ts'
import { attemptIdOf } from './task-spec.ts'

async function agent(t: TestContext, attempts: ScriptedAttempts) {
  const server = createHostAgent({ attempts, token: 'runner-token', version: '1', asyncAfterMs: 20 })
  t.after(() => server.close())
  const { url } = await server.listen(':0')
  return async (path: string, body: unknown) => {
    const headers = { authorization: 'Bearer runner-token', 'x-runner-token': 'runner-token' }
    const response = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) })
    // biome-ignore lint/suspicious/noExplicitAny: a test reads what it asks for
    return { status: response.status, body: (await response.json()) as any }
  }
}

const task = (id: string, args: object, more: object = {}) => ({
  task: {
    ID: id,
    RunID: 'run-20260212-001',
    Step: { name: 'hello', targets: ['local'], action: 'shell.run', args, timeout: '1m30s', ...more },
    Host: { Name: 'local', Address: 'http://127.0.0.1:7072', Vars: null },
    Vars: { env: { OK: 'true' }, other: 1 },
  },
})

test("the old dispatcher's envelope is understood, and answered in its format", async (t) => {
  const attempts = new ScriptedAttempts((attempt) => {
    attempt.write('stdout', 'BOPS_EXPORT:TOKEN=abc\n')
    attempt.end({ outcome: 'success', exports: { TOKEN: 'abc' } })
  })
  const post = await agent(t, attempts)
  const args = { script: 'x', export_vars: 'true', max_output_bytes: '2048', dir: '/tmp', env: { N: 2 } }
  const { status, body } = await post('/run', task('task-1', args))
  assert.equal(status, 200)
  assert.deepEqual(body, {
    result: {
      task_id: 'task-1',
      status: 'success',
      output: { stdout: 'BOPS_EXPORT:TOKEN=abc\n', stderr: '', vars: { TOKEN: 'abc' } },
    },
    run_id: 'run-20260212-001',
  })
  const [spec] = attempts.starts
  assert.deepEqual(spec!.args, { script: 'x', export_vars: true, max_output_bytes: 2048, cwd: '/tmp' })
  assert.deepEqual(spec!.env, { OK: 'true', N: '2' })
  assert.equal(spec!.timeout_ms, 90_000)
  assert.equal(spec!.step, 'hello')
})

test('the old way of following a long task works: all output so far with POST /status, and /cancel', async (t) => {
  const attempts = new ScriptedAttempts()
  const post = await agent(t, attempts)
  const started = await post('/run', task('task-2', { script: 'x' }))
  assert.deepEqual([started.status, started.body.result.status], [200, 'running'])
  const attempt = attempts.get(attemptIdOf('task-2'))!
  attempt.write('stdout', 'one ')
  assert.equal((await post('/status', { task_id: 'task-2' })).body.result.output.stdout, 'one ')
  attempt.write('stdout', 'two')
  const second = await post('/status', { task_id: 'task-2' })
  assert.equal(second.body.result.output.stdout, 'one two')
  assert.equal((await post('/cancel?task_id=task-2', {})).status, 202)
  attempt.end({ outcome: 'failed', message: 'It ended with code 1.' })
  const last = (await post('/status', { task_id: 'task-2' })).body
  assert.equal(last.result.status, 'failed')
  assert.equal(last.error, 'It ended with code 1.')
  assert.equal((await post('/status', { task_id: 'none' })).status, 404)
})

test('an invalid old task is refused with the reason', async (t) => {
  const post = await agent(t, new ScriptedAttempts())
  assert.match((await post('/run', { task: 7 })).body.error.message, /task is not valid/)
  assert.match((await post('/run', { task: 7 })).body.error.hint, /"action": "cmd.run"/)
  assert.match((await post('/run', { task: { ID: 'x', Step: {} } })).body.error.message, /action/)
  assert.match(
    (await post('/run', task('x', { script: 'x' }, { timeout: 'soon' }))).body.error.message,
    /not a valid duration/,
  )
})

test('any text can be a task id, always stands for the same attempt and is never a path', () => {
  for (const id of ['task-1733', 'a/../b', '.', 'ü', 'x'.repeat(300), 'run_1.2', 'run_1.0'])
    assert.match(attemptIdOf(id), /^[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.[1-9]\d*$/)
  assert.equal(attemptIdOf('run_1.2'), 'run_1.2')
  assert.equal(attemptIdOf('a/b'), attemptIdOf('a/b'))
  assert.notEqual(attemptIdOf('a/b'), attemptIdOf('a:b'))
})
