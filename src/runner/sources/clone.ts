import { mkdir, mkdtemp, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { ErrandError } from '../../contract/errors.ts'
import { removeTree } from '../../platform/files.ts'
import { checkGitVersion, type GitOptions, git } from '../git/git-program.ts'
import { basicAuthorization, type GitServer, gitServer, pinsOf } from '../git/git-server.ts'
import { checkGitRef, isCommitId } from '../git/git-url.ts'
import { type AllowedOrigins, type Lookup, systemLookup } from '../git/server-addresses.ts'
import { DEFAULT_UNPACK_LIMITS, unpack } from './unpack.ts'
import type { UnpackLimits } from './unpacked-files.ts'

/** Variable for servers that the operator allows although they are not on the public internet, or not encrypted. */
export const GIT_ALLOW = 'ERRAND_GIT_ALLOW'

export interface Repository {
  url: string
  /** Branch, tag or full commit id; default: the repository's default branch. */
  ref?: string
  /** Credentials, sent to the server of the URL, and to no other that it redirects to. */
  auth?: GitAuth
}

export interface GitAuth {
  /** User name; default: the one that servers accept with a token. */
  username?: string
  /** Password or token. */
  password: string
}

export interface CloneLimits extends UnpackLimits {
  timeoutMs: number
}

export const DEFAULT_CLONE_LIMITS: CloneLimits = { ...DEFAULT_UNPACK_LIMITS, timeoutMs: 5 * 60_000 }

export interface CloneOptions {
  allow: AllowedOrigins
  lookup?: Lookup
  limits?: CloneLimits
  /** File of trusted certificates, PEM; default: those of the system. */
  caFile?: string
  /** Called with each progress line of Git; there are many. */
  progress?(line: string): void
  signal?: AbortSignal
}

/**
 * Puts the unchanged files of one commit, without a .git, into `target`, which must not exist; returns the commit's id.
 * They must obey the rules of an archive. Submodules become empty folders. Throws `source_refused`, and then leaves
 * nothing.
 */
export async function clone(repository: Repository, target: string, options: CloneOptions): Promise<string> {
  const { timeoutMs } = options.limits ?? DEFAULT_CLONE_LIMITS
  const late = AbortSignal.timeout(timeoutMs)
  const signal = AbortSignal.any([late, ...(options.signal ? [options.signal] : [])])
  try {
    return await cloneUntil(signal, repository, target, options)
  } catch (error) {
    options.signal?.throwIfAborted()
    if (!late.aborted) throw error
    throw new ErrandError(
      'source_refused',
      `Fetching the repository took longer than ${timeoutMs / 1000} s.`,
      {
        hint: 'Try again, or send the code as an archive.',
        cause: error,
      },
    )
  }
}

async function cloneUntil(
  signal: AbortSignal,
  { url, ref, auth }: Repository,
  target: string,
  options: CloneOptions,
): Promise<string> {
  const { lookup = systemLookup, limits = DEFAULT_CLONE_LIMITS, allow, caFile, progress } = options
  if (ref !== undefined) checkGitRef(ref)
  const ca = caFile === undefined ? undefined : await readFile(caFile, 'utf8')
  const server = await gitServer(url, {
    ...{ allow, variable: GIT_ALLOW, lookup, signal, ca },
    authorization: auth && basicAuthorization(auth),
  })
  await mkdir(dirname(target), { recursive: true })
  const folder = await mkdtemp(join(dirname(target), `.${basename(target)}-git-`))
  try {
    const access: GitOptions = {
      folder,
      config: caFile === undefined ? [] : [`http.sslCAInfo=${caFile}`],
      env: {},
      maxFileBytes: limits.maxBytes,
      signal,
      progress,
    }
    const commit = await fetchCommit(server, ref, access)
    const files = join(folder, 'files')
    const unpacked = (tar: Readable) => unpack(tar, files, { limits, signal, what: 'repository' })
    // With attributes of a work tree, although there is none: otherwise it would first hold the whole tree in memory.
    await git(['archive', '--format=tar', '--worktree-attributes', commit], access, unpacked)
    await reportSubmodules(files, progress)
    await rename(files, target)
    return commit
  } finally {
    await removeTree(folder)
  }
}

async function reportSubmodules(files: string, progress?: (line: string) => void): Promise<void> {
  const found = await stat(join(files, '.gitmodules')).catch(() => undefined)
  if (found !== undefined) progress?.('Submodules are left out.')
}

/** Fetches one commit, and nothing before it, into a new repository in the folder; returns its id. */
async function fetchCommit(server: GitServer, ref: string | undefined, options: GitOptions): Promise<string> {
  await checkGitVersion(options)
  await git(['init', '--quiet', '--bare', '--initial-branch=main', '--template='], options, text)
  // The bytes as they are in the commit: nothing converted, and nothing left out.
  await mkdir(join(options.folder, 'info'), { recursive: true })
  await writeFile(join(options.folder, 'info/attributes'), `* ${attributes.join(' ')}\n`)
  await fetched(server, ref, options)
  const commit = (await git(['rev-parse', '--verify', 'FETCH_HEAD^{commit}'], options, text)).trim()
  checkCommit(commit, ref)
  return commit
}

async function fetched(server: GitServer, ref: string | undefined, options: GitOptions): Promise<void> {
  // A "+" before a name that may itself begin with one.
  const refspec = `+${ref === undefined ? 'HEAD' : isCommitId(ref) ? ref.toLowerCase() : ref}`
  const args = ['fetch', '--depth=1', '--no-tags', '--no-recurse-submodules', '--progress', '--']
  let tooLarge = false
  const progress = (line: string) => {
    if (/File too large/.test(line)) tooLarge = true
    options.progress?.(line)
  }
  const pinned = {
    config: [...options.config, ...pinsOf(server)],
    env: { ...options.env, ...authEnv(server), GIT_ALLOW_PROTOCOL: server.url.protocol.slice(0, -1) },
  }
  await git([...args, server.url.href, refspec], { ...options, ...pinned, progress }, text).catch(
    (error: unknown) => {
      if (!tooLarge) throw error
      throw new ErrandError(
        'source_refused',
        `The repository is larger than ${options.maxFileBytes} bytes.`,
        {
          hint: 'Remove what the build does not need, or send the code as an archive.',
          cause: error,
        },
      )
    },
  )
}

/**
 * Returns the environment for the one process that fetches: all users of a machine can see arguments, and files remain.
 */
function authEnv({ url, authorization }: GitServer): Record<string, string> {
  if (authorization === undefined) return {}
  return {
    GIT_CONFIG_COUNT: '1',
    GIT_CONFIG_KEY_0: `http.${url.href}.extraHeader`,
    GIT_CONFIG_VALUE_0: `Authorization: ${authorization}`,
  }
}

function checkCommit(commit: string, ref: string | undefined): void {
  if (ref === undefined || !isCommitId(ref) || ref.toLowerCase() === commit) return
  throw new ErrandError('source_refused', `${ref} is not the id of a commit.`, {
    hint: 'Name a branch, a tag or a full commit id.',
  })
}

const attributes = ['-text', '-ident', '-filter', '-working-tree-encoding', '-export-ignore', '-export-subst']
