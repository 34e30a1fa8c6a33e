import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { runTask } from 'errand'
import { startForge } from '../support/forge/forge-stand-in.ts'
import { runTurn, startModelServer } from '../support/model-server/server.ts'
import { MODEL_KEY } from '../support/tasks/task-place.ts'

test('a program runs a task without a hub, with the settings of its environment and configuration', async (t) => {
  const home = mkdtempSync(join(tmpdir(), 'errand-run-task-'))
  t.after(() => rmSync(home, { recursive: true, force: true }))
  const forge = await startForge({ flavour: 'github' })
  t.after(() => forge.stop())
  const repository = forge.makeRepository('shop/web', {
    files: { 'README.md': 'The shop.\n', Makefile: 'test:\n\t@test -e made.txt\n' },
    isPrivate: true,
    rights: { errand: 'write' },
  })
  const script = [
    { text: 'PLAN ONE' },
    { text: 'PLAN TWO' },
    runTurn('echo made > made.txt'),
    { text: 'It is made.' },
    { text: 'CANNOT: it is too hard' },
  ]
  const server = await startModelServer({ script, keys: [MODEL_KEY] })
  t.after(() => server.stop())
  const config = join(home, 'local.yaml')
  writeFileSync(
    config,
    `llm: {model: gpt-4.1, endpoint: "${server.url}/v1"}\ngit_token_env_var: MY_TOKEN\nmax_memory_mb: 2048\n`,
  )
  const tokenFile = join(home, 'token')
  writeFileSync(tokenFile, `${forge.makeToken('errand')}\n`)
  const env = {
    ...{ PATH: process.env.PATH, HOME: home, OPENAI_API_KEY: MODEL_KEY },
    ...{ MY_TOKEN_FILE: tokenFile, ERRAND_GIT_ALLOW: forge.url },
  }
  const folder = join(home, 'tasks')
  const types: string[] = []
  const task = { title: 'Make it', repo_url: repository.cloneUrl }

  const requests: string[] = []
  const approve = ({ message }: { message: string }) => requests.push(message) > 1 || 'smaller'
  const onEvent = ({ type }: { type: string }) => types.push(type)
  const made = await runTask({ ...task, plan: true }, { env, config, folder, onEvent, approve })
  assert.deepEqual(
    requests.map((message) => /PLAN \w+/.exec(message)?.[0]),
    ['PLAN ONE', 'PLAN TWO'],
  )
  assert.deepEqual(
    [made.state, made.success, made.error],
    ['in_review', true, undefined],
    JSON.stringify(made),
  )
  const [pull] = repository.tickets.filter((each) => each.pull !== undefined)
  assert.deepEqual([pull?.title, made.pull_request?.number], ['Make it', pull?.number])
  const diff = made.artifacts.find(({ type }) => type === 'diff')!
  assert.match(readFileSync(fileURLToPath(diff.uri), 'utf8'), /^\+made$/m)
  assert.deepEqual([made.llm_model, made.tokens_used! > 0], ['gpt-4.1', true])
  assert.ok(types.includes('run.created') && types.includes('run.finished'))

  const other = { ...task, title: 'Another', test_commands: ['echo fine'] }
  const failed = await runTask(other, { env, config, folder })
  assert.deepEqual([failed.state, failed.success, failed.error?.stage], ['failed', false, 'implementation'])
  assert.equal(failed.error?.reason, 'gave_up', JSON.stringify(failed))
  assert.deepEqual(readdirSync(folder).sort(), ['1', 'artifacts'])

  const aborted = await runTask(task, { env, config, folder, signal: AbortSignal.abort() })
  assert.equal(aborted.state, 'canceled')
  for (const wrong of [{ title: ' ' }, { title: 'x', follow: true }])
    await assert.rejects(runTask(wrong, { env, folder }), { code: 'task_invalid' })
})
