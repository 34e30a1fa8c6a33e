import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chownSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { noteMade } from '../support/docker/docker.ts'
import { errandImage } from '../support/docker/errand-image.ts'
import { blocksOf, withWords } from '../support/document.ts'
import { eventually } from '../support/errand-command.ts'
import {
  ADMIN_KUBECONFIG,
  kubectlFolder,
  kubernetesFor,
  kubernetesHere,
  NODE_ADDRESS,
  removeNamespace,
  type TestKubernetes,
  takeImage,
} from '../support/kubernetes/kubernetes.ts'
import { startPrograms } from '../support/programs.ts'

const execute = promisify(execFile)
const PAGE = 'docs/kubernetes.md'
const root = join(import.meta.dirname, '../..')
const skip = await kubernetesHere()
/** An address in the cluster's range. The cluster has no DNS for runners to find the hub by name. */
const HUB_ADDRESS = '10.213.1.213'
/** The user of the hub's image. */
const ERRAND_USER = 10001

interface Fixture extends Pick<TestKubernetes, 'ask'> {
  namespace: string
  image: string
  /** A copy of the checkout's `deploy`, in which a test may change words. */
  folder: string
  change(file: string, words: Readonly<Record<string, string>>): void
  /** Runs a block of the document in the test's namespace. Returns what it prints. */
  follow(script: string | undefined): Promise<string>
}

/** Starts a cluster with Errand's image on its node, and a shell that has kubectl. */
async function place(t: TestContext): Promise<Fixture> {
  const folder = mkdtempSync(join(tmpdir(), 'errand-document-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  let namespace = ''
  // Registered first, so that it runs before the cluster's own hooks, after which other tests may have the cluster.
  t.after(() => removeNamespace(namespace))
  const cluster = await kubernetesFor(t)
  namespace = `${cluster.namespace}-hub`
  noteMade('namespace', namespace)
  const image = await errandImage()
  await takeImage(image)
  cpSync(join(root, 'deploy'), join(folder, 'deploy'), { recursive: true })
  const env = {
    PATH: `${await kubectlFolder()}:${process.env.PATH}`,
    ...{ HOME: folder, KUBECONFIG: ADMIN_KUBECONFIG },
  }
  return {
    ...{ namespace, image, folder, ask: cluster.ask },
    change(file, words) {
      const path = join(folder, file)
      writeFileSync(path, withWords(readFileSync(path, 'utf8'), words))
    },
    async follow(script) {
      assert.ok(script !== undefined, 'the document has no such block')
      const own = script.replace(/(-n|namespace) errand\b/g, `$1 ${namespace}`)
      console.log(own)
      const { stdout } = await execute('sh', ['-ec', own], { cwd: folder, env }).catch((error) => {
        console.log(error.stdout)
        throw error
      })
      return stdout
    },
  }
}

/** Creates a volume for the claim of the hub, because the cluster creates none by itself. */
async function volumeFor({ namespace, folder, ask }: Fixture): Promise<void> {
  const path = join(folder, 'volume')
  mkdirSync(path, { mode: 0o700 })
  chownSync(path, ERRAND_USER, ERRAND_USER)
  await ask('POST', '/api/v1/persistentvolumes', {
    metadata: { name: namespace, labels: { 'errand.test': namespace } },
    spec: {
      ...{ accessModes: ['ReadWriteOnce'], capacity: { storage: '10Gi' } },
      ...{ hostPath: { path }, claimRef: { namespace, name: 'data-errand-hub-0' } },
    },
  })
}

const hello = /hello from errand-[0-9a-f]{8}-\S+-e1\b/

test('installing a hub in a cluster, from nothing to a first run and back, works as documented', {
  skip,
}, async (t) => {
  const at = await place(t)
  const { namespace, image } = at
  const [build, start, run] = blocksOf(PAGE, 'Install the hub in the cluster')
  // The image is already built. There is no registry, and the node already has it.
  const [, name] = /^docker build -t (\S+) -f deploy\/Dockerfile \. && docker push \1\n$/.exec(build!.text)!
  const [newName, newTag] = image.split(':')
  at.change('deploy/kubernetes/kustomization.yaml', {
    'newName: errand, newTag: latest': `newName: ${newName}, newTag: ${newTag}`,
    'namespace: errand\n': `namespace: ${namespace}\n`,
  })
  at.change('deploy/kubernetes/errand.yaml', { 'image: "errand:latest"': `image: "${image}"` })
  at.change('deploy/kubernetes/hub.yaml', {
    'http://errand-hub.errand.svc:3000': `http://${HUB_ADDRESS}:3000`,
    '  ports: [{name: http, port: 3000': `  clusterIP: ${HUB_ADDRESS}\n  ports: [{name: http, port: 3000`,
  })
  await volumeFor(at)

  const started = await at.follow(start!.text)
  assert.match(started, /user +admin\n +password \S+/)
  assert.match(await at.follow(run!.text), hello)
  const [look] = blocksOf(PAGE, 'Look at runners')
  const [jobs, log] = look!.text.trim().split('\n')
  const nothingLeft = () =>
    eventually('the removal of its Job', async () => !(await at.follow(jobs)).includes('errand-'))
  await nothingLeft()

  const network = 'kubectl apply -f deploy/kubernetes/network-policy.yaml'
  assert.ok(readFileSync(join(root, PAGE), 'utf8').includes(`\`${network}\``))
  at.change('deploy/kubernetes/network-policy.yaml', { 'namespace: errand}': `namespace: ${namespace}}` })
  assert.match(await at.follow(network), /networkpolicy.* created/)

  const [keys, group] = blocksOf(PAGE, 'Model keys')
  await at.follow(keys!.text)
  writeFileSync(join(at.folder, 'deploy/kubernetes/errand.yaml'), withWords(group!.text, { [name!]: image }))
  await at.follow('kubectl apply -k deploy/kubernetes')
  await eventually('the changed file to be read', async () =>
    (await at.follow('kubectl -n errand exec errand-hub-0 -- cat /etc/errand/errand.yaml')).includes(
      'model_keys',
    ),
  )
  await eventually('its reload', async () =>
    (await at.follow('kubectl -n errand logs errand-hub-0')).includes('errand.yaml was reloaded'),
  )
  // Its pod and the pod's log must be there until the test has looked at them.
  const workflow = withWords(run!.text, {
    'echo hello from $(hostname)':
      'echo hello from $(hostname); until test -e /tmp/looked-at; do sleep 0.2; done',
  })
  const running = at.follow(workflow)
  const made = await eventually(
    'its Job',
    async () => /^(errand-[0-9a-f]{8}-\S+-e1) /m.exec(await at.follow(jobs)) ?? undefined,
  )
  await eventually('its log', async () =>
    (await at.follow(log!.replace(/job\/\S+/, `job/${made[1]}`)).catch(() => '')).includes('Connected'),
  )
  await at.follow(`kubectl -n errand exec job/${made[1]} -c runner -- touch /tmp/looked-at`)
  assert.match(await running, hello)
  await nothingLeft()

  const [away] = /`(kubectl delete namespace errand)`/.exec(readFileSync(join(root, PAGE), 'utf8'))!.slice(1)
  await at.follow(away)
  await assert.rejects(at.ask('GET', `/api/v1/namespaces/${namespace}`), /404/)
})

test('a hub outside of the cluster, from nothing to a first run, works as documented', {
  skip,
}, async (t) => {
  const at = await place(t)
  const { namespace, image } = at
  const [prepare, config] = blocksOf(PAGE, 'Run the hub outside the cluster')
  await at.follow(prepare!.text)
  const secrets = `/api/v1/namespaces/${namespace}/secrets`
  const token = await eventually('the Secret of its service account', async () => {
    const { items } = await at.ask('GET', secrets)
    // biome-ignore lint/suspicious/noExplicitAny: objects of Kubernetes
    const own = items.find(({ metadata }: any) => metadata.name.startsWith('errand-hub-token-'))
    return own?.data?.token as string | undefined
  })
  const kubeconfig = join(at.folder, 'kubeconfig')
  const admin = JSON.parse(readFileSync(ADMIN_KUBECONFIG, 'utf8'))
  const user = { token: Buffer.from(token, 'base64').toString() }
  writeFileSync(kubeconfig, JSON.stringify({ ...admin, users: [{ name: 'admin', user }] }), { mode: 0o600 })
  const written = withWords(config!.text, {
    'registry.example.com/errand:0.1.0': image,
    '/etc/errand/kubeconfig': kubeconfig,
    'namespace: errand': `namespace: ${namespace}`,
    // Pods reach this hub at its own address.
    '    hub_url: https://errand.example.com\n': '',
  })
  const programs = await startPrograms(t, {
    ...{ runner: 'none', host: NODE_ADDRESS },
    prepare: ({ data }) => {
      mkdirSync(data, { recursive: true, mode: 0o700 })
      writeFileSync(join(data, 'errand.yaml'), written)
    },
  })
  const [, , run] = blocksOf(PAGE, 'Install the hub in the cluster')
  const [, workflow] = /<<'END'\n(.*)^END$/ms.exec(run!.text)!
  const ran = await programs.errand.run(['run', '--hub', '-'], { env: programs.env, stdin: workflow })
  assert.equal(ran.code, 0, ran.stdout + ran.stderr)
  assert.match(ran.stdout, hello)
  await eventually('the removal of it', async () => {
    const { items } = await at.ask('GET', `/apis/batch/v1/namespaces/${namespace}/jobs`)
    return items.length === 0
  })
})
