import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { ErrandError } from '../../contract/errors.ts'
import { type GitOptions, git } from './git-command.ts'
import { isCommitId } from './git-ref.ts'
import type { GitServer } from './git-server.ts'
import { checkGitVersion } from './git-version.ts'

/** Fetches one commit, and nothing before it, into a new repository in the folder; answers its id. */
export async function fetchCommit(
  server: GitServer,
  ref: string | undefined,
  options: GitOptions,
): Promise<string> {
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
  const wanted = `+${ref === undefined ? 'HEAD' : isCommitId(ref) ? ref.toLowerCase() : ref}`
  const args = ['fetch', '--depth=1', '--no-tags', '--no-recurse-submodules', '--progress', '--']
  let tooLarge = false
  const progress = (line: string) => {
    if (/File too large/.test(line)) tooLarge = true
    options.progress?.(line)
  }
  const pinned = {
    config: [...options.config, ...pins(server)],
    env: { ...options.env, ...authEnv(server), GIT_ALLOW_PROTOCOL: server.url.protocol.slice(0, -1) },
  }
  await git([...args, server.url.href, wanted], { ...options, ...pinned, progress }, text).catch(
    (error: unknown) => {
      if (!tooLarge) throw error
      throw new ErrandError(
        'source_refused',
        `The repository is larger than ${options.maxFileBytes} bytes.`,
        {
          hint: 'Leave out what is not needed to build, or send the code as an archive.',
          cause: error,
        },
      )
    },
  )
}

/** In the environment of the one process that fetches: arguments can be seen by all users of a machine, files stay. */
function authEnv({ url, authorization }: GitServer): Record<string, string> {
  if (authorization === undefined) return {}
  return {
    GIT_CONFIG_COUNT: '1',
    GIT_CONFIG_KEY_0: `http.${url.href}.extraHeader`,
    GIT_CONFIG_VALUE_0: `Authorization: ${authorization}`,
  }
}

/** No look-up by git: it connects to what has been checked. An address of IPv6 itself is looked up nowhere. */
function pins({ url, addresses }: GitServer): string[] {
  if (url.hostname.startsWith('[')) return []
  const port = url.port || (url.protocol === 'https:' ? '443' : '80')
  const listed = addresses.map((address) => (address.includes(':') ? `[${address}]` : address))
  // The star for what curl may spell otherwise, and for any other name that it comes upon.
  return [url.hostname, '*'].map((name) => `http.curloptResolve=${name}:${port}:${listed.join(',')}`)
}

function checkCommit(commit: string, ref: string | undefined): void {
  if (ref === undefined || !isCommitId(ref) || ref.toLowerCase() === commit) return
  throw new ErrandError('source_refused', `${ref} is not the id of a commit.`, {
    hint: 'Name a branch, a tag or a full commit id.',
  })
}

const attributes = ['-text', '-ident', '-filter', '-working-tree-encoding', '-export-ignore', '-export-subst']
