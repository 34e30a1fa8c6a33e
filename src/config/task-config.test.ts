import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { parse } from 'yaml'
import type { Pool } from '../contract/fleet/provisioning.ts'
import { Task } from '../contract/tasks/task.ts'
import { parseConfig } from './config-file.ts'
import { readTaskConfig, TASK_GROUP, withTaskConfig } from './task-config.ts'

const examples = join(import.meta.dirname, '../../examples/coding-tasks')
const sample = (name: string) => readFileSync(join(examples, name), 'utf8')

test('reads the sample for this machine, and its task is valid', () => {
  const config = readTaskConfig(sample('local.yaml'), 'local.yaml')
  const task = Task.parse(withTaskConfig(parse(sample('task.yaml')), config))
  assert.deepEqual(task.llm, {
    ...{ model: 'gpt-4.1', endpoint: 'https://api.openai.com/v1' },
    ...{ timeout_seconds: 120, retry_count: 3 },
  })
  assert.deepEqual([task.limits, task.resources], [{ memory: '2048MB', cpus: 2 }, { cpus: 0 }])
  assert.deepEqual([task.timeout_seconds, task.git_retry_count, task.network_retry_count], [1800, 3, 3])
  const { git_token_env_var, llm_api_key_env_var, log_level, log_format, warnings } = config
  assert.deepEqual([git_token_env_var, llm_api_key_env_var], ['GIT_TOKEN', 'OPENAI_API_KEY'])
  assert.deepEqual([log_level, log_format, warnings], ['info', 'json', []])
})

test('the samples for containers and pods say how task runners are provisioned, and a hub starts with them', () => {
  const { pool: docker, warnings } = readTaskConfig(sample('docker.yaml'), 'docker.yaml')
  assert.deepEqual(
    [docker, warnings],
    [{ provisioner: 'docker', image: 'errand', volumes: ['/etc/ssl/certs:/etc/ssl/certs:ro'] }, []],
  )
  const { pool: pods } = readTaskConfig(sample('kubernetes.yaml'), 'kubernetes.yaml')
  assert.deepEqual(pods, {
    ...{ provisioner: 'kubernetes', image: 'errand', namespace: 'coding-tasks' },
    secrets: ['git-credentials', 'llm-credentials'],
  })
  const [group] = parseConfig(sample('kubernetes.yaml'), 'kubernetes.yaml').pools
  assert.deepEqual([group?.namespace, group?.secrets], [pods?.namespace, pods?.secrets])
  const { pools, warnings: reported } = parseConfig(sample('docker.yaml'), 'docker.yaml')
  const [{ group: name, provisioner, image, volumes } = {}] = pools as Partial<Pool>[]
  assert.deepEqual(
    [name, provisioner, image, volumes, pools.length],
    [TASK_GROUP, 'docker', 'errand', docker?.volumes, 1],
  )
  assert.deepEqual(reported, [])
  assert.deepEqual(parseConfig(sample('local.yaml'), 'local.yaml').pools, [])
})

test('volumes are a list or a map; settings that do not fit the execution mode are refused or reported', () => {
  const volumes = (text: string) =>
    readTaskConfig(`execution_mode: docker\ndocker_image: errand\ndocker_volumes: ${text}\n`, 'c.yaml').pool
      ?.volumes
  assert.deepEqual(volumes('{/srv/a: /a, cache: {bind: /b, mode: ro}}'), ['/srv/a:/a', 'cache:/b:ro'])
  assert.deepEqual(volumes('[/srv/a:/a:rw]'), ['/srv/a:/a:rw'])
  const cases: [string, RegExp][] = [
    ['execution_mode: docker\n', /^c.yaml:1:1: execution_mode: docker needs the image/],
    ['execution_mode: kubernetes\n', /^c.yaml:1:1: execution_mode: kubernetes needs the image/],
    ['execution_mode: docker\ndocker_image: a b\n', /^c.yaml:2:15: docker_image is not a valid image name/],
    [
      'execution_mode: docker\ndocker_image: a\ndocker_volumes: [./a:/b]\n',
      /^c.yaml:3:18: .*is not a volume such as/,
    ],
    [
      'execution_mode: docker\ndocker_image: a\ndocker_volumes: {/a: b}\n',
      /^c.yaml:3:.*is not a volume such as/,
    ],
  ]
  for (const [text, message] of cases)
    assert.throws(
      () => readTaskConfig(text, 'c.yaml'),
      (error: Error & { hint?: string }) => message.test(error.message) && error.hint !== undefined,
      text,
    )
  const local = sample('kubernetes.yaml').replace(
    'execution_mode: kubernetes',
    'execution_mode: local-process',
  )
  const { pool, warnings } = readTaskConfig(local, 'k.yaml')
  assert.equal(pool, undefined)
  assert.match(warnings.join(), /k8s_namespace, k8s_image, k8s_secrets are not used/)
})

test('the environment takes precedence over the file, including its old names', () => {
  const text = 'task_registry_url: http://a.test\ndefault_timeout_seconds: 60\nlog_level: WARNING\n'
  assert.deepEqual(readTaskConfig(text, 'c.yaml').services, { task_registry_url: 'http://a.test' })
  assert.equal(readTaskConfig(text, 'c.yaml').log_level, 'warn')
  const env = { TASK_REGISTRY_URL: 'http://b.test', REPO_POOL_URL: 'http://c.test', RUNNER_TIMEOUT: '90' }
  const config = readTaskConfig(text, 'c.yaml', { ...env, RUNNER_LOG_LEVEL: 'ERROR' })
  assert.deepEqual(config.services, { task_registry_url: 'http://b.test', repo_pool_url: 'http://c.test' })
  assert.deepEqual([config.task.timeout_seconds, config.log_level], [90, 'error'])
  for (const wrong of [{ REPO_POOL_URL: 'pool' }, { RUNNER_TIMEOUT: 'soon' }])
    assert.throws(
      () => readTaskConfig(text, 'c.yaml', wrong),
      ({ message, hint }: Error & { hint?: string }) => {
        return message.startsWith(Object.keys(wrong)[0]!) && hint !== undefined
      },
    )
})

test("a task takes precedence over the configuration, and a task's defaults do not hide the configuration", () => {
  const config = readTaskConfig('llm: {model: a, max_tokens: 5}\nmax_memory_mb: 100\n', 'c.yaml')
  const parsed = withTaskConfig(
    { title: 'x', llm: { model: 'b' }, limits: { processes: 7 }, timeout_seconds: 5 },
    config,
  )
  assert.deepEqual(parsed.llm, { model: 'b', max_tokens: 5 })
  assert.deepEqual(parsed.limits, { memory: '100MB', processes: 7 })
  assert.equal(parsed.timeout_seconds, 5)
  assert.equal(Task.parse(withTaskConfig({ title: 'x' }, readTaskConfig('', 'c.yaml'))).timeout_seconds, 1800)
})

test('reports every mistake with its line, and masks secrets whatever the file says', () => {
  assert.throws(
    () => readTaskConfig('llm:\n  modell: x\nmax_cpu_percent: 0\n', 'c.yaml'),
    ({ message, details }: Error & { details?: { problems: unknown[] } }) =>
      message.startsWith('c.yaml:2:') && message.includes('modell') && details?.problems.length === 2,
  )
  assert.throws(() => readTaskConfig('a: [', 'c.yaml'), { code: 'invalid_argument' })
  assert.throws(() => readTaskConfig('- x', 'c.yaml'), { code: 'invalid_argument' })
  assert.match(readTaskConfig('mask_secrets: false', 'c.yaml').warnings.join(), /masked in every log/)
})
