import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { promisify } from 'node:util'
import type { TaskView } from '../../src/contract/tasks/task-api.ts'
import { gatewayOf } from '../../src/docker/docker-answers.ts'
import { dockerFor, dockerHere, noteMade, removeLabelled } from '../support/docker/docker.ts'
import { errandImage } from '../support/docker/errand-image.ts'
import { eventually } from '../support/errand-command.ts'
import {
  ADMIN_KUBECONFIG,
  kubernetesFor,
  kubernetesHere,
  NODE_ADDRESS,
  takeImage,
} from '../support/kubernetes/kubernetes.ts'
import { runTurn } from '../support/model-server/server.ts'
import { largeTest } from '../support/size.ts'
import { MODEL_KEY, taskPlace } from '../support/tasks/task-place.ts'

const execute = promisify(execFile)
const examples = join(import.meta.dirname, '../../examples/coding-tasks')
const sample = (name: string) => readFileSync(join(examples, name), 'utf8')

/** Starts a hub with the configuration, and submits the sample of a task that belongs to it. */
async function goThrough(
  t: TestContext,
  options: {
    host: string
    configOf(image: string): string
    /** The environment of the hub. */
    env?: NodeJS.ProcessEnv
    /** Called when the image is built. */
    built?(image: string): Promise<void>
    /** Called before a runner is created for the hub with this id. */
    made?(hub: string): void
    /** Commands of the agent; by default, the change that the task's tests look for. */
    work?: string
  },
): Promise<void> {
  const docker = dockerFor(t)
  const image = docker.name('task-runner')
  const base = await errandImage()
  const config = options.configOf(image)
  const { repository, programs, server, forge } = await taskPlace(t, {
    host: options.host,
    script: [runTurn(options.work ?? 'echo made > made.txt'), { text: 'It is made.' }],
    files: { 'README.md': 'The shop.\n' },
    programs: {
      ...{ runner: 'none', hubEnv: options.env },
      prepare: ({ data }) => {
        mkdirSync(data, { recursive: true, mode: 0o700 })
        writeFileSync(join(data, 'errand.yaml'), config)
      },
    },
  })
  const file = (name: string, text: string) => {
    writeFileSync(join(programs.home, name), text)
    return join(programs.home, name)
  }
  const built = join(programs.home, 'image')
  mkdirSync(built)
  // The operator must allow repositories at private addresses. For these runners, their image does it.
  writeFileSync(join(built, 'Dockerfile'), `FROM ${base}\nENV ERRAND_GIT_ALLOW=${forge.url}\n`)
  const labels = Object.entries(docker.labels).flatMap((each) => ['--label', each.join('=')])
  await execute('docker', ['build', '-q', ...labels, '-t', image, built], {
    env: { ...process.env, DOCKER_BUILDKIT: '0' },
  })
  await options.built?.(image)
  const path = file('tasks.yaml', config.replace('https://api.openai.com', server.url))
  const task = file(
    'task.yaml',
    sample('task.yaml')
      .replace('https://git.example.com/shop/web', repository.cloneUrl)
      .replace('npm ci', 'echo installed')
      .replace('npm test', 'test -s made.txt'),
  )
  await programs.call('secrets', 'set', `OPENAI_API_KEY=${MODEL_KEY}`)
  const running = programs.call('task', 'run', '--config', path, task)
  const row = await eventually('a provisioned runner', async () => {
    const [group] = await programs.client.runners.groups({ name: 'coding-tasks' })
    return group?.pool?.runners[0]
  })
  options.made?.(row.name.split('-')[1]!)
  const ran = await running
  assert.equal(ran.code, 0, ran.stdout + ran.stderr)
  const shown = await programs.call('task', 'show', 'web-shop/TASK-1', '--json')
  const { result, pull_request } = JSON.parse(shown.stdout) as TaskView
  assert.deepEqual([result?.success, result?.llm_model], [true, 'gpt-4.1'], JSON.stringify(result))
  assert.ok(pull_request !== undefined)
  await eventually('the removal of everything that was created', async () => {
    const [group] = await programs.client.runners.groups({ name: 'coding-tasks' })
    return Object.values(group!.pool!.counts).every((count) => count === 0)
  })
}

test('the sample for containers starts a hub, and each of its tasks runs in a container', {
  skip: await dockerHere(),
}, async (t) => {
  const gateway = gatewayOf(await dockerFor(t).engine.getNetwork('bridge').inspect())!
  let label = ''
  await goThrough(t, {
    host: gateway,
    configOf: (image) => sample('docker.yaml').replace('docker_image: errand', `docker_image: ${image}`),
    made: (hub) => {
      label = `errand.hub=${hub}`
      noteMade('label', label)
      t.after(() => removeLabelled(label))
    },
  })
  const { stdout } = await execute('docker', ['ps', '-aq', '--filter', `label=${label}`])
  assert.equal(stdout, '')
})

largeTest(
  'the sample for pods starts a hub, and each task runs in a pod with the Secrets that the sample names',
  {
    skip: (await dockerHere()) || (await kubernetesHere()),
  },
  async (t) => {
    const { namespace, ask } = await kubernetesFor(t)
    for (const name of ['git-credentials', 'llm-credentials'])
      await ask('POST', `/api/v1/namespaces/${namespace}/secrets`, {
        metadata: { name },
        stringData: { note: `This is ${name}.\n` },
      })
    await goThrough(t, {
      host: NODE_ADDRESS,
      env: { KUBECONFIG: ADMIN_KUBECONFIG },
      configOf: (image) =>
        sample('kubernetes.yaml')
          .replace('k8s_image: errand', `k8s_image: ${image}`)
          .replace('k8s_namespace: coding-tasks', `k8s_namespace: ${namespace}`),
      built: takeImage,
      work: 'cat /run/secrets/git-credentials/note /run/secrets/llm-credentials/note > made.txt',
    })
    await eventually('the removal of Job and pod', async () => {
      const kinds = ['/apis/batch/v1/namespaces/NAME/jobs', '/api/v1/namespaces/NAME/pods']
      const left = kinds.map(async (path) => (await ask('GET', path.replace('NAME', namespace))).items)
      return (await Promise.all(left)).flat().length === 0
    })
  },
)
