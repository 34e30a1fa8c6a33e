import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import type { TaskView } from '../../src/contract/tasks/task-api.ts'
import { runTurn } from '../support/model-server/server.ts'
import { MODEL_KEY, taskPlace } from '../support/tasks/task-place.ts'

const examples = join(import.meta.dirname, '../../examples/coding-tasks')
const sample = (name: string) => readFileSync(join(examples, name), 'utf8')

test('the samples run with the secrets that they name, and older systems can read their outcomes', async (t) => {
  const { repository, programs, server } = await taskPlace(t, {
    script: [runTurn('echo made > made.txt'), { text: 'It is made.' }],
    programs: { runnerEnv: { OPENAI_API_KEY: '', OPENAI_BASE_URL: '' } },
  })
  const file = (name: string, text: string) => {
    writeFileSync(join(programs.home, name), text)
    return join(programs.home, name)
  }
  const config = file('local.yaml', sample('local.yaml').replace('https://api.openai.com', server.url))
  const task = file(
    'task.yaml',
    sample('task.yaml')
      .replace('https://git.example.com/shop/web', repository.cloneUrl)
      .replace('npm ci', 'echo installed')
      .replace('npm test', 'make test'),
  )
  const shown = async (id: string) =>
    JSON.parse((await programs.call('task', 'show', id, '--json')).stdout) as TaskView

  await t.test("the model's key is a secret of the hub, with the name in the file", async () => {
    const named = file('named.yaml', sample('local.yaml').replaceAll('OPENAI_API_KEY', 'MY_MODEL_KEY'))
    const one = ['--title', 'Without a key', '--repo', repository.cloneUrl, '--id', 'keyless']
    const ran = await programs.call('task', 'run', '--config', named, ...one)
    assert.equal(ran.code, 1, ran.stdout)
    const { result, state } = await shown('keyless')
    assert.deepEqual([state, result?.success, result?.error?.stage], ['failed', false, 'context'])
    assert.match(
      result!.error!.message!,
      /llm_api_key_env_var.*MY_MODEL_KEY.*errand secrets set MY_MODEL_KEY/,
    )
  })

  await t.test('a pull request, with the figures of the model', async () => {
    await programs.call('secrets', 'set', `OPENAI_API_KEY=${MODEL_KEY}`)
    const ran = await programs.call('task', 'run', '--config', config, task)
    assert.equal(ran.code, 0, ran.stdout + ran.stderr)
    for (const noise of ['remote:', 'GAVE_UP', 'git rev-parse', 'skipped', 'TIP_SHA='])
      assert.ok(!ran.stdout.includes(noise), `${noise}\n${ran.stdout}`)
    const { result, pull_request } = await shown('web-shop/TASK-1')
    assert.equal(ran.stdout.trimEnd().split('\n').at(-1), `pull request ${pull_request!.url}`)
    assert.deepEqual([result?.success, result?.error, result?.llm_model], [true, undefined, 'gpt-4.1'])
    assert.ok(result!.tokens_used! > 0 && result!.duration_seconds > 0, JSON.stringify(result))
    assert.ok(result!.memory_mb! > 0 && result!.cpu_percent! >= 0, JSON.stringify(result))
    const diff = result!.artifacts.find(({ type }) => type === 'diff')
    assert.match(diff?.uri ?? '', /^errand:\/\/artifact\/run_/)
  })

  await t.test('a hub that does not provision such runners says what to do', async () => {
    for (const mode of ['docker', 'kubernetes']) {
      const config = join(examples, `${mode}.yaml`)
      const ran = await programs.call('task', 'run', '--config', config, task)
      assert.equal(ran.code, 7, ran.stderr)
      assert.match(
        ran.stderr,
        new RegExp(`No group of the hub provisions its runners by ${mode}.* from the image errand`),
      )
      assert.ok(ran.stderr.includes(`errand up --config ${config}`), ran.stderr)
    }
  })
})
