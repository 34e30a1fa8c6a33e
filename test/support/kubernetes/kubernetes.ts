/**
 * A real Kubernetes of one node for tests (1.20, the oldest that Errand knows):
 *
 *     const skip = await kubernetesHere()                   // at the top of the test file
 *     test('...', { skip }, async (t) => {
 *       const cluster = await kubernetesFor(t)              // has its own namespace, which is removed with the test
 *       await takeImage(await baseImage('busybox:latest'))  // to the node; pods need imagePullPolicy: Never
 *       await cluster.ask('POST', `/apis/batch/v1/namespaces/${cluster.namespace}/jobs`, { ... })
 *
 * Services of a test for pods listen at NODE_ADDRESS. A test that ends a program of the cluster, or touches things
 * outside namespaces, needs the cluster for itself: `kubernetesFor(t, { alone: true })`. The programs that it has
 * ended are restarted after it.
 */
import { execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { noteMade } from '../docker/docker.ts'

const execute = promisify(execFile)
const STATE = '/var/lib/errand-kubernetes'
const ENSURE = join(import.meta.dirname, 'ensure-kubernetes.sh')
const LOCK = '/var/lock/errand-test-kubernetes'
/** Milliseconds between the lines that a test prints while it waits for other tests. */
const REPORT_INTERVAL_MS = 30_000
const POLL_MS = 100
const ANSWERS_WITHIN_MS = 30_000

/** The kubeconfig of a user who may do everything. */
export const ADMIN_KUBECONFIG = join(STATE, 'admin.json')
/** The address where pods reach this machine. */
export const NODE_ADDRESS = '10.213.0.1'

/**
 * Returns the reason to skip a test that needs Kubernetes. Where no test may be skipped, builds and starts one
 * instead.
 */
export async function kubernetesHere(): Promise<string | false> {
  const hidden = process.env.ERRAND_TEST_WITHOUT?.includes('kubernetes')
  if (!hidden && process.env.ERRAND_TEST_NO_SKIPS === '1') {
    await ensure()
    return false
  }
  const ask = async () => await askAs(admin(), 'GET', '/api/v1/nodes/test-node')
  const ready = !hidden && (await ask().catch(() => undefined))
  if (ready) return false
  return 'no Kubernetes for tests answers; as root on Debian: test/support/kubernetes/ensure-kubernetes.sh, which builds one the first time'
}

/** Starts the programs of the cluster that have died, or only the given ones, and waits until they are ready. */
export async function ensure(...parts: readonly Part[]): Promise<void> {
  const child = spawn(ENSURE, parts, { stdio: ['ignore', 'inherit', 'pipe'] })
  // A build takes minutes and reports its progress.
  child.stderr.pipe(process.stderr, { end: false })
  const errors = text(child.stderr)
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new Error(`Kubernetes does not start: ${await errors}`)
}

/** Returns a folder with kubectl from this machine's Debian. */
export async function kubectlFolder(): Promise<string> {
  const { stdout } = await execute(join(import.meta.dirname, 'ensure-kubectl.sh'))
  return stdout.trim()
}

export type Part =
  | 'containerd'
  | 'etcd'
  | 'apiserver'
  | 'controller-manager'
  | 'scheduler'
  | 'proxy'
  | 'kubelet'

/**
 * Sends a signal to a program of the cluster. SIGSTOP hangs it until SIGCONT. Waits until a program that the signal
 * ends is gone.
 */
export async function signalPart(part: Part, signal: 'SIGTERM' | 'SIGKILL' | 'SIGSTOP' | 'SIGCONT') {
  const pid = Number(readFileSync(join(STATE, `${part}.pid`), 'utf8'))
  process.kill(pid, signal)
  if (signal === 'SIGTERM' || signal === 'SIGKILL') while (lives(pid)) await sleep(20)
}

/** Reports whether a process lives. An ended one may have no parent that waits for it. */
function lives(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

/** Copies an image from the machine's Docker engine to the node, where it keeps its name. */
export async function takeImage(name: string): Promise<void> {
  const { stdout } = await execute('docker', ['image', 'inspect', '-f', '{{.Id}}', name])
  const id = stdout.trim()
  // Docker completes a name like this: the part before the first slash is a registry if it looks like one.
  const [first, ...rest] = name.split('/')
  const whole =
    rest.length === 0 ? `docker.io/library/${name}` : /[.:]/.test(first!) ? name : `docker.io/${name}`
  const reference = /:[^/]+$/.test(whole) ? whole : `${whole}:latest`
  const ctr = `ctr -a ${STATE}/containerd.sock -n k8s.io images`
  const known = await execute('sh', ['-c', `${ctr} ls -q`])
  if (known.stdout.split('\n').includes(id))
    await execute('sh', ['-c', `${ctr} tag --force "$0" "$1"`, id, reference])
  else {
    const taken = execute('sh', ['-c', `docker save "$0" | ${ctr} import -`, name])
    const waiting = setInterval(() => console.log(`Still copying ${name} to the node.`), REPORT_INTERVAL_MS)
    await taken.finally(() => clearInterval(waiting))
  }
}

/** A refusal by the API. */
export class KubernetesRefusal extends Error {
  readonly status: number
  readonly reason: string

  constructor(request: string, status: number, answer: { reason?: string; message?: string }) {
    super(`${request}: ${status} ${answer.reason} ${answer.message}`)
    this.status = status
    this.reason = answer.reason ?? ''
  }
}

/** The part of a kubeconfig that is read. It is in the part of YAML that is JSON. */
interface Kubeconfig {
  clusters: [{ cluster: { server: string; 'certificate-authority-data': string } }]
  users: [{ user: { token?: string; 'client-certificate-data'?: string; 'client-key-data'?: string } }]
}

const admin = (): Kubeconfig => JSON.parse(readFileSync(ADMIN_KUBECONFIG, 'utf8'))

// biome-ignore lint/suspicious/noExplicitAny: objects of Kubernetes, whose parts tests look at
type Answer = any

async function askAs(who: Kubeconfig, method: string, path: string, body?: unknown): Promise<Answer> {
  const bytes = (data?: string) => (data === undefined ? undefined : Buffer.from(data, 'base64'))
  const [{ cluster }] = who.clusters
  const [{ user }] = who.users
  const requestedJobs = request(`${cluster.server}${path}`, {
    method,
    ca: bytes(cluster['certificate-authority-data']),
    cert: bytes(user['client-certificate-data']),
    key: bytes(user['client-key-data']),
    headers: {
      'content-type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json',
      ...(user.token !== undefined && { authorization: `Bearer ${user.token}` }),
    },
    agent: false,
    signal: AbortSignal.timeout(ANSWERS_WITHIN_MS),
  })
  requestedJobs.end(body === undefined ? undefined : JSON.stringify(body))
  const [answer] = await once(requestedJobs, 'response')
  const output = await text(answer)
  const isJson = answer.headers['content-type']?.startsWith('application/json')
  const value = isJson ? JSON.parse(output) : output
  if (answer.statusCode >= 300)
    throw new KubernetesRefusal(
      `${method} ${path}`,
      answer.statusCode,
      isJson ? value : { message: String(value) },
    )
  return value
}

export interface TestKubernetes {
  /** The namespace of this test alone. */
  namespace: string
  /** Calls the API as a user who may do everything. Throws a KubernetesRefusal. */
  ask(method: string, path: string, body?: unknown): Promise<Answer>
  /** Repeats a GET until its answer is accepted, and returns that. A refused or failed call is repeated too. */
  until(path: string, accepts: (answer: Answer) => boolean): Promise<Answer>
  /** Returns a kubeconfig of a user who may do these things in the namespace, and nothing else. */
  account(rules: readonly Rule[]): Promise<string>
}

export interface Rule {
  apiGroups: string[]
  resources: string[]
  verbs: string[]
}

export async function kubernetesFor(t: TestContext, { alone = false } = {}): Promise<TestKubernetes> {
  const free = await locked(alone)
  const namespace = `errand-test-${randomBytes(4).toString('hex')}`
  noteMade('namespace', namespace)
  t.after(async () => {
    try {
      if (alone) await ensure()
      await removeNamespace(namespace)
    } finally {
      await free()
    }
  })
  const who = admin()
  const ask = (method: string, path: string, body?: unknown) => askAs(who, method, path, body)
  const until: TestKubernetes['until'] = async (path, accepts) => {
    for (;;) {
      const answer = await ask('GET', path).catch(() => undefined)
      if (answer !== undefined && accepts(answer)) return answer
      await sleep(POLL_MS)
    }
  }
  const labels = { 'errand.test': namespace }
  await ask('POST', '/api/v1/namespaces', { metadata: { name: namespace, labels } })
  // No pod is created before its account exists.
  await until(`/api/v1/namespaces/${namespace}/serviceaccounts/default`, ({ secrets }) => secrets?.length > 0)
  return {
    ...{ namespace, ask, until },
    async account(rules) {
      const name = `account-${randomBytes(4).toString('hex')}`
      const metadata = { name }
      const rbac = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}`
      const accounts = `/api/v1/namespaces/${namespace}/serviceaccounts`
      await ask('POST', accounts, { metadata })
      await ask('POST', `${rbac}/roles`, { metadata, rules })
      await ask('POST', `${rbac}/rolebindings`, {
        metadata,
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
        subjects: [{ kind: 'ServiceAccount', name, namespace }],
      })
      const { status } = await ask('POST', `${accounts}/${name}/token`, { spec: {} })
      const folder = mkdtempSync(join(tmpdir(), 'errand-kubeconfig-'))
      t.after(() => rmSync(folder, { recursive: true }))
      const file = join(folder, 'kubeconfig.json')
      const users = [{ name: 'admin', user: { token: status.token } }]
      writeFileSync(file, JSON.stringify({ ...who, users }), { mode: 0o600 })
      return file
    },
  }
}

/** Calls the API as the user of a kubeconfig that `account` created. */
export async function askWith(
  kubeconfig: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<Answer> {
  return await askAs(JSON.parse(readFileSync(kubeconfig, 'utf8')), method, path, body)
}

/**
 * Removes a namespace, everything in it, and the volumes with its label (`errand.test`). Waits until it is gone, and
 * does not wait for the grace periods of its pods.
 */
export async function removeNamespace(name: string): Promise<void> {
  const who = admin()
  const path = `/api/v1/namespaces/${name}`
  const isGone = (error: unknown) => {
    if (!(error instanceof KubernetesRefusal) || error.status !== 404) throw error
    return true
  }
  await askAs(who, 'DELETE', `/api/v1/persistentvolumes?labelSelector=errand.test=${name}`)
  if ((await askAs(who, 'DELETE', path).catch(isGone)) === true) return
  const now = { gracePeriodSeconds: 0 }
  do {
    await askAs(who, 'DELETE', `${path}/pods`, now).catch(isGone)
    await sleep(POLL_MS)
  } while ((await askAs(who, 'GET', path).catch(isGone)) !== true)
}

/**
 * Takes the cluster until the returned function is called: alone, so that no test of any file uses it meanwhile, or
 * shared, so that no other test is alone at it.
 */
async function locked(alone: boolean): Promise<() => Promise<void>> {
  const holder = spawn('flock', [alone ? '-x' : '-s', LOCK, 'sh', '-c', 'echo; cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const over = once(holder, 'exit')
  const waiting = setInterval(() => console.log('Still waiting for the cluster.'), REPORT_INTERVAL_MS)
  try {
    await once(holder.stdout, 'data')
  } finally {
    clearInterval(waiting)
  }
  return async () => {
    holder.stdin.end()
    await over
  }
}
