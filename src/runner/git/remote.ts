import { readFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { ErrandError } from '../../contract/errors.ts'
import { isBelow, realPath } from '../../platform/files.ts'
import { type Advertisement, readLsRemote } from './advertisement.ts'
import { TOKEN_USER } from './git-credential.ts'
import { type GitOptions, git } from './git-program.ts'
import { basicAuthorization, type GitService, gitServer, pinsOf } from './git-server.ts'
import { gitUrl } from './git-url.ts'
import { GitRefused, hintOf, refusalOf } from './git-words.ts'
import { type AllowedOrigins, type Lookup, serverAddresses } from './server-addresses.ts'

/** Operator's policy: which repositories this machine may use, and how it reaches them. */
export interface GitPolicy {
  /** Servers that are not on the public internet, or not encrypted. */
  allow: AllowedOrigins
  /** Variable that names those, for hints. */
  variable: string
  lookup: Lookup
  /** Folders below which repositories may be named with file://. */
  folders: readonly string[]
  /** File of trusted certificates, PEM; default: those of the system. */
  caFile?: string
  /** File of the private key for SSH; if absent, repositories over SSH are refused. */
  sshKeyFile?: string
  /** File with the keys of known SSH servers. */
  knownHostsFile?: string
  /** Milliseconds after which a silent server is given up. Default `SILENCE_MS`. */
  silenceMs?: number
}

export interface RemoteAsk {
  url: string
  /** Token, sent only to the server of the URL; over SSH the operator's key is used. */
  token?: string
  username?: string
  /** Service; default: for reading. */
  service?: GitService
}

export interface RemoteContext {
  policy: GitPolicy
  /** Existing folder for Git's home. */
  folder: string
  signal: AbortSignal
}

/** Remote repository that has answered. */
export interface Remote {
  /** Real address for Git, after redirects. */
  url: string
  /** Requested address in its single normal form, without credentials. */
  identity: string
  advertisement: Advertisement
  /** Options with which Git reaches it, and nothing else. */
  access: Pick<GitOptions, 'config' | 'env' | 'credential'>
}

/** Returns the address in its single normal form, without contacting anybody. Throws `GitRefused`. */
export function remoteIdentity(url: string, policy: GitPolicy): string {
  return placeOf(url, policy).identity
}

/**
 * Asks a repository for its refs, with the credentials, and so whether it may be read or written. Throws `GitRefused`
 * with the reason.
 */
export async function openRemote(ask: RemoteAsk, context: RemoteContext): Promise<Remote> {
  const place = placeOf(ask.url, context.policy)
  try {
    if (place.kind === 'http') return await overHttp(place, ask, context)
    const access = place.kind === 'ssh' ? await sshAccess(place, context.policy) : fileAccess
    const program = ask.service === 'git-receive-pack' ? ['--upload-pack=git-receive-pack'] : []
    const options = { ...access, ...plain(context), maxFileBytes: 1024 ** 2 }
    const output = await git(['ls-remote', '--symref', ...program, '--', place.url], options, text)
    return { url: place.url, identity: place.identity, access, advertisement: readLsRemote(output) }
  } catch (error) {
    context.signal.throwIfAborted()
    throw refusalOf(
      refused(error),
      `${place.identity} cannot be used`,
      ask.service ? 'push_denied' : undefined,
    )
  }
}

const plain = ({ folder, signal }: RemoteContext) => ({ folder, signal })

/** Converts the refusal of an address by another room. */
function refused(error: unknown): unknown {
  if (error instanceof GitRefused || !(error instanceof ErrandError) || error.constructor !== ErrandError)
    return error
  return new GitRefused('repo_refused', error.message, { hint: error.hint, cause: error })
}

interface HttpPlace {
  kind: 'http'
  url: string
  identity: string
}
interface SshPlace {
  kind: 'ssh'
  url: string
  identity: string
  host: string
  port: number | undefined
}
interface FilePlace {
  kind: 'file'
  url: string
  identity: string
}

const CREDENTIALS_HINT =
  'Leave them out of the address. Provide the token as the secret GIT_TOKEN, which does not appear in any file or log.'

function placeOf(address: string, policy: GitPolicy): HttpPlace | SshPlace | FilePlace {
  const refuse = (why: string, hint: string) =>
    new GitRefused('repo_refused', `The address of the repository ${why}.`, { hint })
  if (/^file:/i.test(address)) return filePlace(address, policy)
  const isSsh = /^ssh:\/\//i.test(address)
  const scp = /^(?:([A-Za-z0-9._-]+)@)?([A-Za-z0-9.-]+):(?!\/\/)([^:].*)$/.exec(address)
  if (isSsh || (scp !== null && !/^[a-z]+::/i.test(address))) return sshPlace(address, scp)
  if (/^[a-z][a-z0-9+.-]*:\/\/[^/]*@/i.test(address))
    throw refuse('contains a user name or a password', CREDENTIALS_HINT)
  try {
    const url = gitUrl(address, policy.allow, policy.variable)
    return { kind: 'http', url: url.href, identity: url.href }
  } catch (error) {
    throw refused(error)
  }
}

function sshPlace(address: string, scp: RegExpExecArray | null): SshPlace {
  const refuse = (why: string) =>
    new GitRefused('repo_refused', `The address of the repository ${why}.`, {
      hint: 'Write it as ssh://git@host/owner/repository.git, or git@host:owner/repository.git.',
    })
  const [, user = 'git', host, port, path] =
    /^ssh:\/\/(?:([^@/:]*)@)?([A-Za-z0-9.-]+)(?::(\d{1,5}))?\/(.+)$/i.exec(address) ??
    (scp === null ? [] : [scp[0], scp[1], scp[2], undefined, scp[3]])
  if (host === undefined || path === undefined)
    throw refuse('is not a valid SSH address, or contains a password')
  if (!/^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(user)) throw refuse('contains an invalid user name')
  if (!/^[A-Za-z0-9]/.test(host) || host.endsWith('.')) throw refuse('contains an invalid server name')
  if (/[\s\\\p{Cc}?#'"`$]/u.test(path) || path.startsWith('-'))
    throw refuse('contains a character that is not allowed in its path')
  const at = port === undefined || port === '22' ? '' : `:${Number(port)}`
  const name = host.toLowerCase()
  const url =
    scp !== null && !/^ssh:/i.test(address) ? `${user}@${name}:${path}` : `ssh://${user}@${name}${at}/${path}`
  const identity = `ssh://${user}@${name}${at}/${path.replace(/^\/+|\/+$/g, '')}`
  return { kind: 'ssh', url, identity, host: name, port: at === '' ? undefined : Number(port) }
}

function filePlace(address: string, policy: GitPolicy): FilePlace {
  const url = URL.parse(address)
  const local = url !== null && url.hostname === '' && url.search === '' && url.hash === ''
  const path = local ? realPath(fileURLToPath(url), '/') : undefined
  if (path === undefined || !policy.folders.some((folder) => isBelow(path, realPath(folder, '/'))))
    throw new GitRefused('repo_refused', 'The address of the repository points to a file on the runner.', {
      hint: 'The operator of the runner can allow the folder: ERRAND_GIT_FOLDERS=/srv/git.',
    })
  return { kind: 'file', url: `file://${path}`, identity: `file://${path}` }
}

const fileAccess = { config: [] as string[], env: { GIT_ALLOW_PROTOCOL: 'file' } }

async function overHttp(
  { identity, url }: HttpPlace,
  { token, username = TOKEN_USER, service }: RemoteAsk,
  { policy, signal }: RemoteContext,
): Promise<Remote> {
  const { allow, variable, lookup, caFile, silenceMs } = policy
  const ca = caFile === undefined ? undefined : await readFile(caFile, 'utf8')
  const authorization = token === undefined ? undefined : basicAuthorization({ username, password: token })
  const request = { allow, variable, lookup, signal, ca, authorization, service, refs: true, silenceMs }
  const server = await gitServer(url, request).catch((error: unknown) => {
    throw hinted(refused(error), service, new URL(url).host)
  })
  return {
    url: server.url.href,
    identity,
    advertisement: server.advertisement!,
    access: {
      config: [
        ...pinsOf(server),
        ...(caFile === undefined ? [] : [`http.sslCAInfo=${caFile}`]),
        ...(silenceMs === undefined ? [] : [`http.lowSpeedTime=${Math.ceil(silenceMs / 1000)}`]),
      ],
      env: { GIT_ALLOW_PROTOCOL: server.url.protocol.slice(0, -1) },
      ...(server.authorization !== undefined &&
        token !== undefined && { credential: { url: server.url, username, password: token } }),
    },
  }
}

/** Replaces hints of the code that clones for bots, because they name options that tasks do not have. */
function hinted(error: unknown, service: GitService | undefined, host: string): unknown {
  if (!(error instanceof GitRefused)) return error
  const { reason } = error
  if (!['repo_auth', 'repo_not_found', 'push_denied'].includes(reason)) return error
  const message =
    service === 'git-receive-pack' ? `The repository cannot be written to: ${error.message}` : error.message
  return new GitRefused(reason, message, { hint: hintOf(reason, host), cause: error })
}

async function sshAccess({ host, port }: SshPlace, policy: GitPolicy): Promise<Remote['access']> {
  const { allow, variable, lookup, sshKeyFile, knownHostsFile } = policy
  if (sshKeyFile === undefined)
    throw new GitRefused('repo_auth', 'This runner has no SSH key for repositories.', {
      hint: 'Use an https:// address with a token, or have the operator of the runner provide a key: ERRAND_GIT_SSH_KEY=FILE.',
    })
  const at = port === undefined ? host : `${host}:${port}`
  const [address] = await serverAddresses(new URL(`https://${at}`), { allow, variable, lookup })
  const settings = [
    'BatchMode=yes',
    'IdentitiesOnly=yes',
    'IdentityAgent=none',
    'StrictHostKeyChecking=yes',
    `UserKnownHostsFile=${knownHostsFile ?? '/dev/null'}`,
    'ConnectTimeout=30',
    // A silent server is given up after a minute.
    'ServerAliveInterval=15',
    'ServerAliveCountMax=3',
    // The checked address, and the name for which the server's key is known.
    `HostName=${address}`,
    `HostKeyAlias=${port === undefined ? host : `[${host}]:${port}`}`,
  ]
  const words = ['ssh', '-F', '/dev/null', '-i', sshKeyFile, ...settings.flatMap((each) => ['-o', each])]
  const quoted = words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
  const env = { GIT_ALLOW_PROTOCOL: 'ssh', GIT_SSH_COMMAND: quoted, GIT_SSH_VARIANT: 'ssh' }
  return { config: [], env }
}
