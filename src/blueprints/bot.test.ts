import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { builtinActions } from '../contract/actions.ts'
import { StartBot } from '../contract/bots/bot-api.ts'
import type { Workflow } from '../contract/workflow.ts'
import { checkWorkflow } from '../engine/workflow-file/check.ts'
import { fillArgs } from '../engine/workflow-file/template.ts'
import { botOf, botRun } from './bot.ts'

const made = (request: object) =>
  botRun(StartBot.parse({ bot_id: 'echo', ...request }), { maxSeconds: 86_400, slot: 'run_1' })

/** The real catalog allows no bot in a file. */
const catalog = { 'bot.serve': { ...builtinActions['bot.serve']!, made_by: undefined } }

const checked = (workflow: unknown): Workflow => {
  const { workflow: valid, problems } = checkWorkflow(workflow, { catalog })
  assert.deepEqual(problems, [])
  return valid as Workflow
}

test('every mode makes a valid workflow with one step and the defaults of the bot runner', () => {
  const sources: [object, object][] = [
    [{ code: 'x' }, { mode: 'simple', files: { 'bot.py': 'x' }, entrypoint: 'bot.py', requirements: [] }],
    [
      { code: 'x', entrypoint: 'main.js' },
      { mode: 'simple', files: { 'main.js': 'x' }, entrypoint: 'main.js', requirements: [] },
    ],
    [
      {
        files: { 'a.py': '1', 'b.py': '2' },
        entrypoint: 'b.py',
        requirements: 'aiogram>=3.0\n# more\n\nhttpx',
      },
      {
        mode: 'simple',
        files: { 'a.py': '1', 'b.py': '2' },
        entrypoint: 'b.py',
        requirements: ['aiogram>=3.0', 'httpx'],
      },
    ],
    [
      { git_url: 'https://git.example/a.git', git_ref: 'v1' },
      { mode: 'git', url: 'https://git.example/a.git', ref: 'v1', dockerfile: 'Dockerfile' },
    ],
    [
      { upload: 'a'.repeat(64), dockerfile: 'bot/Dockerfile' },
      { mode: 'archive', upload: 'a'.repeat(64), dockerfile: 'bot/Dockerfile' },
    ],
    [{ docker_image: 'a/b:1' }, { mode: 'image', image: 'a/b:1' }],
    [
      { docker_image: 'a/b:1', registry_auth: { username: 'ann', password: 'of ann, a secret' } },
      {
        mode: 'image',
        image: 'a/b:1',
        registry_auth: { username: 'ann', password_secret: 'BOT_REGISTRY_PASSWORD' },
      },
    ],
  ]
  for (const [request, source] of sources) {
    const { workflow } = made(request)
    const { args, slot, timeoutSeconds } = botOf(checked(workflow))
    assert.deepEqual(args.source, source)
    assert.deepEqual(args.limits, { memory: '256MB', cpus: 0.5, processes: 100, disk: '64MB', log: '50MB' })
    assert.deepEqual([args.restart.policy, slot, timeoutSeconds], ['no', 'run_1', 86_400])
    assert.ok(!JSON.stringify(workflow).includes('of ann'))
  }
})

test('any text in code, variables and runtime reaches the machine unchanged', () => {
  const dollars = fc
    .array(fc.constantFrom('$', '{', '}', 'A', ':-', '${A}', '$${', ' '), { minLength: 1, maxLength: 12 })
    .map((parts) => `x${parts.join('')}`)
  fc.assert(
    fc.property(dollars, dollars, dollars, (code, value, runtime) => {
      const { workflow } = made({
        code,
        env: { V: value },
        runtime,
        env_vars: { A: 'a secret' },
        command: [code],
      })
      const { steps } = checked(workflow)
      const args = fillArgs(steps[0]!.args, builtinActions['bot.serve']!.raw, {
        get: () => 'FILLED',
        names: () => [],
      })
      assert.deepEqual([args.runtime, args.command], [runtime, [code]])
      assert.deepEqual((args.source as { files: object }).files, { 'bot.py': code })
      assert.equal(botOf(checked(workflow)).env.V, value)
    }),
  )
})
