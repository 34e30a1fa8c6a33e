import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { settingsOf } from '../agents/builtin/settings.ts'
import { findSetting, setting } from './read-setting.ts'
import type { Setting } from './setting.ts'
import { nameOf, namesOf, settingKeys, settings, tokenVariables } from './settings.ts'

const root = join(import.meta.dirname, '../..')
const rows = settingKeys.map((key) => ({ key, row: settings[key] as Setting }))

/** Files that name variables without reading them, and why. */
const NAMING: Readonly<Record<string, string>> = {
  'src/library/run-task.ts': "gives them to a task's steps",
  'src/cli/commands/hub/child-runner.ts': "sets them for the hub's own runner",
  'src/runner/secrets/own-secrets.ts': 'names the token that it masks',
  'src/runner/workspaces/leased-slots.ts': "names the token of a slot's repository",
  'src/hub/provisioners/names.ts': 'sets them for runners that it has made',
  'src/hub/provisioners/drivers/docker.ts': 'sets what a container of such a runner may offer',
  'src/hub/provisioners/drivers/kubernetes/manifests.ts': 'sets where such a runner works in its pod',
  'src/hub/provisioners/drivers/process.ts': 'marks the processes of such a runner',
  'src/blueprints/task-steps.ts': "sets them for a task's agent",
  'src/agents/builtin/tools/run-command.ts': 'keeps them from what a model runs',
  'src/agents/builtin/settings.ts': "reads a step's environment, by a schema of its own",
}

/** Returns only the code, without comments and texts. */
const codeOf = (text: string): string =>
  text.replace(
    /\/\*[\s\S]*?\*\/|^\s*\/\/.*$|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/gm,
    ' ',
  )

test('variables are read only through the table', () => {
  const names = [...new Set(settingKeys.flatMap(namesOf))]
  const word = new RegExp(`\\b(?:${names.join('|')})\\b`)
  const quoted = new RegExp(`\\benv(?:ironment)?\\s*(?:\\?\\.)?\\[\\s*['"\`](?:${names.join('|')})['"\`]`)
  const old = new RegExp(`['"\`](?:${settingKeys.flatMap((key) => namesOf(key).slice(1)).join('|')})['"\`]`)
  for (const bad of ['process.env.ERRAND_URL', 'const { ADOS_TOKEN } = env', '({ ERRAND_METRICS: x }) => x'])
    assert.match(codeOf(bad), word)
  assert.match("env['ERRAND_URL']", quoted)
  const files = globSync('src/**/*.ts', { cwd: root }).filter(
    (file) => !/\.test\.ts$|^src\/config\//.test(file),
  )
  assert.ok(files.length > 100)
  const found = files.filter((file) => {
    const text = readFileSync(join(root, file), 'utf8')
    return word.test(codeOf(text)) || quoted.test(text) || old.test(text)
  })
  assert.deepEqual(found.sort(), Object.keys(NAMING).sort())
})

test('every default can be read, and every unusable value is refused with a hint and its name', () => {
  for (const { key, row } of rows) {
    assert.ok(row.about !== '')
    if (row.default !== undefined)
      assert.deepEqual(setting({ [nameOf(key)]: row.default }, key), setting({}, key))
    if (['text', 'list'].includes(row.type)) continue
    for (const name of namesOf(key))
      assert.throws(
        () => setting({ [name]: 'a\nb' }, key),
        ({ message, hint }: Error & { hint?: string }) => message.startsWith(name) && hint !== undefined,
        name,
      )
  }
})

test("Errand's own name wins over the old ones, in their order, and an empty value is not set", () => {
  for (const { key } of rows) {
    const names = namesOf(key)
    const env = Object.fromEntries(names.map((name) => [name, name]))
    for (const [index, name] of names.entries()) {
      assert.deepEqual(findSetting(env, key), { name, value: name })
      env[name] = index % 2 === 0 ? '' : undefined!
    }
    assert.equal(findSetting(env, key), undefined)
  }
})

test('a variable with two readers is identified by its key, and found by its own old names', () => {
  const env = { ADOS_TOKEN: 'of a runner', AVTOMATIKA_TOKEN: 'of a user' }
  assert.equal(setting(env, 'ERRAND_TOKEN of runner'), 'of a runner')
  assert.equal(setting(env, 'ERRAND_TOKEN'), 'of a user')
  assert.equal(setting(env, 'ERRAND_TOKEN of agent servers'), undefined)
})

test('recognizes tokens of Errand by all their names', () => {
  assert.deepEqual([...tokenVariables].sort(), [
    ...[
      'ADOS_TOKEN',
      'AVTOMATIKA_TOKEN',
      'ERRAND_ARTIFACT_STORE_TOKEN',
      'ERRAND_ENROLL_TOKEN',
      'ERRAND_LOCAL_TOKEN',
      'ERRAND_REPO_POOL_TOKEN',
      'ERRAND_SMTP_URL',
      'ERRAND_TASK_REGISTRY_TOKEN',
      'ERRAND_TOKEN',
      'WORKER_TOKEN',
    ],
  ])
})

test('the docs have every setting, with its old names; the page about runners says the same', () => {
  const pages = { cli: 'cli.md', bots: 'runners.md', agents: 'agents.md' }
  for (const { key, row } of rows)
    if (row.page !== undefined)
      assert.ok(readFileSync(join(root, 'docs', pages[row.page]), 'utf8').includes(`\`${nameOf(key)}\``), key)
  const [, section = ''] = /\n## Environment\n([\s\S]*?)\n## /.exec(
    readFileSync(join(root, 'docs/runners.md'), 'utf8'),
  )!
  const listed = [...section.matchAll(/^\| `((?:ERRAND_|WORKSPACE_)\w+)` \| ([^|]*)\|/gm)]
  assert.equal(listed.length, 13)
  for (const [, name, old = ''] of listed) {
    const key = name === 'ERRAND_TOKEN' ? 'ERRAND_TOKEN of runner' : (name as keyof typeof settings)
    assert.deepEqual(old.match(/\w+/g) ?? [], namesOf(key).slice(1), name)
  }
})

test("the built-in agent's own defaults are those of the table", () => {
  const found = settingsOf({ env: { OPENAI_API_KEY: 'k' } } as unknown as Parameters<typeof settingsOf>[0])
  assert.ok(!('wrong' in found))
  const { model, timeoutMs, retries, maxTokens, contextChars } = found
  assert.deepEqual(
    [model, String(timeoutMs / 1000), String(retries), maxTokens, String(contextChars)],
    rows.filter(({ row }) => row.page === 'agents').map(({ row }) => row.default),
  )
})
