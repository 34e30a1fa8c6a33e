import assert from 'node:assert/strict'
import test from 'node:test'
import { errandImage } from '../support/docker/errand-image.ts'
import { eventually } from '../support/errand-command.ts'
import {
  ADMIN_KUBECONFIG,
  kubernetesFor,
  kubernetesHere,
  NODE_ADDRESS,
  takeImage,
} from '../support/kubernetes/kubernetes.ts'
import { startModelServer, writeFileScript } from '../support/model-server/server.ts'
import { startPrograms } from '../support/programs.ts'
import { writeBuilders } from '../support/provisioners/builders.ts'

const skip = await kubernetesHere()
const image = skip ? '' : await errandImage()
if (!skip) await takeImage(image)

const KEY = 'sk-the-real-key-of-the-service-0123456789'
/** Looks wherever a process of the pod could find a key. */
const LOOK = `cat made.txt; id -u; env; cat /proc/*/environ /run/errand-gate/*.json 2>/dev/null | tr '\\0' '\\n'
  ls /var/run/secrets /run/secrets 2>/dev/null; touch /run/errand-gate/x || true; ls -A /run/errand-gate`

test('model keys are in a container that the run cannot access, and its agent still reaches its model', {
  skip,
}, async (t) => {
  const { namespace, ask } = await kubernetesFor(t)
  const model = await startModelServer({
    ...{ script: writeFileScript('made.txt', 'by the model'), keys: [KEY], host: NODE_ADDRESS },
  })
  t.after(() => model.stop())
  const secrets = `/api/v1/namespaces/${namespace}/secrets`
  const programs = await startPrograms(t, {
    ...{ runner: 'none', host: NODE_ADDRESS },
    prepare: ({ data }) => {
      writeBuilders(data, {
        ...{ provisioner: 'kubernetes', image, pull: 'never', kubeconfig: ADMIN_KUBECONFIG, namespace },
        ...{ model_keys: ['keys'], idle_seconds: 0, start_seconds: 240, failed_seconds: 0 },
      })
    },
  })
  const agent = {
    ...{ name: 'write', targets: ['build'], action: 'agent.run' },
    args: { agent: 'builtin', model: 'test-model', prompt: 'Write it.', permissions: 'allow' },
  }
  const look = {
    ...{ name: 'look', targets: ['build'], needs: ['write'], action: 'cmd.run', args: { cmd: LOOK } },
  }
  const inventory = { hosts: { build: { group: 'builders' } } }
  const yaml = JSON.stringify({ version: 'v0.1', name: 'keys', inventory, steps: [agent, look] })
  const { run_id } = await programs.client.runs.create({ yaml })
  await eventually('why it waits', async () =>
    JSON.stringify(await programs.client.runs.get(run_id)).includes('secret \\"keys\\" not found'),
  )
  await ask('POST', secrets, {
    metadata: { name: 'keys' },
    stringData: { OPENAI_API_KEY: KEY, OPENAI_BASE_URL: `${model.url}/v1` },
  })
  const run = await programs.ended(run_id)
  assert.equal(run.status, 'success', JSON.stringify(run))
  const { stdout } = await programs.call('runs', 'logs', run_id)
  assert.match(stdout, /by the model/)
  assert.match(stdout, /OPENAI_BASE_URL":"http:\/\/127\.0\.0\.1:3128\/model\/openai\/v1"/)
  assert.ok(!stdout.includes(KEY), stdout)
  assert.match(stdout, /touch: .*Read-only file system/)
  await eventually('the removal of everything that was created', async () => {
    const kinds = ['/apis/batch/v1', '/api/v1'].map((api, index) =>
      ask('GET', `${api}/namespaces/${namespace}/${index === 0 ? 'jobs' : 'pods'}`),
    )
    return (await Promise.all(kinds)).every(({ items }) => items.length === 0)
  })
})
