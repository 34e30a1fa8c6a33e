import { readFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { parse } from 'yaml'
import * as z from 'zod'
import { ProvisionError } from '../../provisioner.ts'

/** Says how to reach a cluster, and as whom. */
export interface Access {
  /** Address of the API server. */
  server: string
  /** Certificates that check the server's; absent to use those that Node knows. */
  ca?: string | undefined
  /** True if the server's certificate is not checked, because the kubeconfig says so. */
  insecure: boolean
  /** Name in its certificate, if it differs from the address. */
  serverName?: string | undefined
  cert?: string | undefined
  key?: string | undefined
  token?: string | undefined
  /** Namespace of the context or of the pod; used where no other is named. */
  namespace: string
}

export interface AccessOptions {
  /** Path of the kubeconfig; absent to use the pod that the hub runs in. */
  kubeconfig?: string | undefined
  /** Context of the kubeconfig; absent to use its current one. */
  context?: string | undefined
  env: Readonly<Record<string, string | undefined>>
  /** Folder with a pod's token, certificate and namespace. */
  serviceAccount?: string
}

const text = z.string().min(1)
const Cluster = z.object({
  server: z.string().regex(/^https:\/\/[^\s/]+/, 'is not an address such as https://10.0.0.1:6443'),
  'certificate-authority': text.optional(),
  'certificate-authority-data': text.optional(),
  'insecure-skip-tls-verify': z.boolean().optional(),
  'tls-server-name': text.optional(),
})
const User = z.object({
  'client-certificate': text.optional(),
  'client-certificate-data': text.optional(),
  'client-key': text.optional(),
  'client-key-data': text.optional(),
  token: text.optional(),
  tokenFile: text.optional(),
  username: text.optional(),
  exec: z.unknown().optional(),
  'auth-provider': z.unknown().optional(),
})
const named = <Shape extends z.ZodRawShape>(shape: Shape) => z.array(z.object({ name: z.string(), ...shape }))
const Kubeconfig = z.object({
  'current-context': z.string().optional(),
  contexts: named({ context: z.object({ cluster: text, user: text, namespace: text.optional() }) }),
  clusters: named({ cluster: z.unknown().optional() }),
  users: named({ user: z.unknown().optional() }),
})

const broken = (message: string, hint: string, cause?: unknown) =>
  new ProvisionError(message, { permanent: true, hint, cause })

/**
 * Reads from the current files how to reach the cluster. Rejects with a `ProvisionError` that names what is missing.
 */
export function readAccess(options: AccessOptions): Promise<Access> {
  return options.kubeconfig === undefined ? ofPod(options) : ofKubeconfig(options.kubeconfig, options.context)
}

async function ofPod({
  env,
  serviceAccount = '/var/run/secrets/kubernetes.io/serviceaccount',
}: AccessOptions): Promise<Access> {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = env
  if (!host)
    throw broken(
      'The address of Kubernetes is unknown: the hub does not run in a pod, and the group names no kubeconfig.',
      'Set in the group: kubeconfig: /path/to/a/kubeconfig',
    )
  const hint = 'The pod of the hub needs a service account with automountServiceAccountToken: true.'
  const read = (name: string) => fileText(join(serviceAccount, name), hint)
  const [token, ca, namespace] = await Promise.all([read('token'), read('ca.crt'), read('namespace')])
  const server = `https://${host.includes(':') ? `[${host}]` : host}:${port}`
  return { server, ca, insecure: false, token: token.trim(), namespace: namespace.trim() }
}

async function ofKubeconfig(file: string, contextName: string | undefined): Promise<Access> {
  const hint = "The hub reads this file every minute. The hub's user must be able to read it."
  const source = await fileText(resolve(file), hint)
  let value: unknown
  try {
    value = parse(source)
  } catch (error) {
    throw broken(
      `${file} is not valid YAML: ${(error as Error).message}`,
      'Check that it is a kubeconfig.',
      error,
    )
  }
  const config = shaped(Kubeconfig, value, file)
  const name = contextName ?? config['current-context'] ?? ''
  const { context } = pick(config.contexts, name, 'context', file)
  const cluster = shaped(Cluster, pick(config.clusters, context.cluster, 'cluster', file).cluster, file)
  const user = shaped(User, pick(config.users, context.user, 'user', file).user ?? {}, file)
  if (user.exec != null || user['auth-provider'] != null || user.username !== undefined)
    throw broken(
      `User "${context.user}" of ${file} logs in with ${user.username !== undefined ? 'a name and password' : user.exec != null ? 'a program (exec)' : 'an auth-provider'}, which Errand does not support.`,
      'Create a service account for the hub, and a kubeconfig with its token (docs/kubernetes.md).',
    )
  const at = (path: string) => resolve(dirname(resolve(file)), path)
  const content = async (data: string | undefined, path: string | undefined) =>
    data !== undefined
      ? Buffer.from(data, 'base64').toString()
      : path === undefined
        ? undefined
        : await fileText(at(path), `${file} names it.`)
  return {
    server: cluster.server.replace(/\/+$/, ''),
    ca: await content(cluster['certificate-authority-data'], cluster['certificate-authority']),
    insecure: cluster['insecure-skip-tls-verify'] === true,
    serverName: cluster['tls-server-name'],
    cert: await content(user['client-certificate-data'], user['client-certificate']),
    key: await content(user['client-key-data'], user['client-key']),
    // The file has the newer token; kubectl prefers it too.
    token: (await content(undefined, user.tokenFile))?.trim() ?? user.token,
    namespace: context.namespace ?? 'default',
  }
}

async function fileText(file: string, hint: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw broken(`${file} cannot be read: ${(error as Error).message}.`, hint, error)
  }
}

function shaped<T>(Shape: z.ZodType<T>, value: unknown, file: string): T {
  const parsed = Shape.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const where = issue!.path.join('.')
  throw broken(
    `${file} is not a valid kubeconfig${where === '' ? '' : `, at ${where}`}: ${issue!.message}.`,
    'To print a complete one: kubectl config view --raw --minify --flatten',
  )
}

function pick<T extends { name: string }>(from: readonly T[], name: string, what: string, file: string): T {
  const found = from.find((each) => each.name === name)
  if (found !== undefined) return found
  const names = from.map((each) => each.name).join(', ')
  throw broken(
    name === '' ? `${file} has no current ${what}.` : `${file} has no ${what} "${name}".`,
    names === '' ? `It has none.` : `It has: ${names}.`,
  )
}
