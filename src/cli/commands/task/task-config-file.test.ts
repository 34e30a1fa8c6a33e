import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import type { RunnerGroup } from '../../../contract/fleet/runner-groups.ts'
import { configured, inGroup, notStored } from './task-config-file.ts'

const folder = mkdtempSync(join(tmpdir(), 'errand-test-'))
test.after(() => rmSync(folder, { recursive: true }))

function fileOf(text: string): string {
  const file = join(folder, 'config.yaml')
  writeFileSync(file, text)
  return file
}

test("a single task, and each of many, gets the file's values for what it does not set", () => {
  const file = fileOf('max_memory_mb: 100\ndefault_timeout_seconds: 60\n')
  const limits = { memory: '100MB' }
  const { request: one } = configured({ task: { title: 'a', timeout_seconds: 5 } }, file, {})
  assert.deepEqual(one, { task: { title: 'a', timeout_seconds: 5, limits, llm: {} } })
  const { request: many } = configured({ tasks: [{ title: 'a' }, { title: 'b' }], limit: 2 }, file, {
    RUNNER_TIMEOUT: '9',
  })
  const rest = { timeout_seconds: 9, limits, llm: {} }
  assert.deepEqual(many, {
    tasks: [
      { title: 'a', ...rest },
      { title: 'b', ...rest },
    ],
    limit: 2,
  })
})

test('settings that have no effect here are reported, and a missing file is refused', () => {
  const reported: string[] = []
  const file = fileOf('task_registry_url: http://a.test\nrepo_pool_url: http://b.test\nmask_secrets: false\n')
  configured({ task: { title: 'a' } }, file, {}, (text) => reported.push(text))
  assert.equal(reported.length, 3)
  for (const words of ['mask_secrets', 'ERRAND_TASK_REGISTRY_URL', 'ERRAND_REPO_POOL_URL, where the runner'])
    assert.ok(
      reported.some((text) => text.includes(words)),
      words,
    )
  assert.throws(() => configured({ task: { title: 'a' } }, join(folder, 'gone.yaml')), /cannot be read/)
})

test('local credentials that the hub does not have are named as the tasks name them', () => {
  const env = { GIT_TOKEN: 'a', OPENAI_API_KEY: 'b', MY_KEY: 'c' }
  const stored = new Set(['GIT_TOKEN'])
  const names = (request: Parameters<typeof notStored>[0]) =>
    notStored(request, stored, env).map((text) => /secrets set (\w+)$/.exec(text)?.[1])
  assert.deepEqual(names({ task: { title: 'a' } }), ['OPENAI_API_KEY'])
  const file = fileOf('llm_api_key_env_var: MY_KEY\n')
  assert.deepEqual(names(configured({ tasks: [{ title: 'a' }, { title: 'b' }] }, file, {}).request), [
    'MY_KEY',
  ])
})

test('tasks without a group go to the group whose runners are provisioned as the file says', () => {
  const { request, pool } = configured(
    { tasks: [{ title: 'a' }, { title: 'b', group: 'gpu' }] },
    fileOf('execution_mode: docker\ndocker_image: errand:1\n'),
    {},
  )
  const group = (name: string, provisioner: string, image: string) =>
    ({ name, pool: { provisioner, image } }) as RunnerGroup
  const others = [{ name: 'default' } as RunnerGroup, group('pods', 'kubernetes', 'errand:1')]
  const groups = [...others, group('older', 'docker', 'errand:0'), group('boxes', 'docker', 'errand:1')]
  const placed = inGroup(request, pool!, groups, 'docker.yaml')
  assert.deepEqual('tasks' in placed && placed.tasks?.map((task) => task.group), ['boxes', 'gpu'])
  assert.throws(
    () => inGroup(request, pool!, others, 'docker.yaml'),
    ({ code, message, hint }: Error & { code: string; hint: string }) =>
      code === 'not_found' &&
      message.includes('by docker from the image errand:1') &&
      hint.includes('errand up --config docker.yaml'),
  )
})
