import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { git } from '../git/git-program.ts'
import { checkGitRef } from '../git/git-url.ts'
import { GitRefused } from '../git/git-words.ts'
import { openRemote, type Remote, type RemoteAsk, type RemoteContext } from '../git/remote.ts'
import { baseOf } from './found-refs.ts'

export interface CheckAsk extends Omit<RemoteAsk, 'service'> {
  /** Ref at which work begins; default: the default branch. */
  ref?: string
  /** Branch that is to be pushed. */
  branch?: string
  /** Behavior if the branch exists and is not ours: use another name, or work on it unchanged. */
  onBranch: 'suffix' | 'reuse'
  /** Task whose name in its commits makes a branch ours. */
  task?: string
  /** Set if the repository is to be written to. */
  write: boolean
}

export interface Checked {
  baseRef: string
  baseSha: string
  defaultBranch: string
  branch: string
  /** Commit of the branch; empty if it does not exist yet. */
  branchSha: string
}

const MOST_SUFFIXES = 100

/**
 * Checks whether work on a repository can begin and, if requested, be pushed. It uses the answers of both its services
 * to these credentials, before anything expensive is done. Throws `GitRefused` with the reason.
 */
export async function checkRepository(ask: CheckAsk, context: RemoteContext): Promise<Checked> {
  const { branch, write, ref, ...to } = ask
  const remote = await openRemote(to, context)
  const base = baseOf(remote, ref)
  if (write) await openRemote({ ...to, service: 'git-receive-pack' }, context)
  const { defaultBranch = '', refs } = remote.advertisement
  const all = { baseRef: base.name, baseSha: base.sha, defaultBranch }
  if (branch === undefined) return { ...all, branch: '', branchSha: '' }
  checkBranch(branch, remote)
  for (let n = 1; n <= MOST_SUFFIXES; n++) {
    const name = n === 1 ? branch : `${branch}-${n}`
    const sha = refs.get(`refs/heads/${name}`)
    if (sha === undefined) {
      checkBeside(name, refs)
      return { ...all, branch: name, branchSha: '' }
    }
    if (
      ask.onBranch === 'reuse' ||
      (ask.task !== undefined && (await isOurs(remote, sha, ask.task, context)))
    )
      return { ...all, branch: name, branchSha: sha }
  }
  throw new GitRefused(
    'branch_taken',
    `The branch "${branch}" and ${MOST_SUFFIXES - 1} like it already exist.`,
    {
      hint: 'Choose another branch, or reuse this one.',
    },
  )
}

function checkBranch(branch: string, { advertisement, identity }: Remote): void {
  try {
    checkGitRef(branch)
    if (/^(refs\/|HEAD$)/.test(branch)) throw new Error(`"${branch}" is not a valid branch name`)
  } catch (cause) {
    throw new GitRefused('branch_taken', `The branch cannot be created: ${(cause as Error).message}`, {
      hint: 'Use letters, digits, "-", "_" and "/" in its name.',
      cause,
    })
  }
  if (branch !== advertisement.defaultBranch) return
  throw new GitRefused('branch_taken', `"${branch}" is the default branch of ${identity}.`, {
    hint: 'Choose another branch: the default branch changes through pull requests.',
  })
}

/** Checks for conflicting names: a branch "a" and a branch "a/b" cannot both exist. */
function checkBeside(branch: string, refs: ReadonlyMap<string, string>): void {
  const own = `refs/heads/${branch}`
  const other = [...refs.keys()].find((name) => name.startsWith(`${own}/`) || own.startsWith(`${name}/`))
  if (other === undefined) return
  throw new GitRefused(
    'branch_taken',
    `A branch "${branch}" cannot exist beside "${other.slice('refs/heads/'.length)}".`,
    { hint: 'Choose another branch.' },
  )
}

const LAST_COMMITS = 50

/** Reports whether one of the branch's last commits names the task, as ours do. */
async function isOurs(remote: Remote, sha: string, task: string, context: RemoteContext): Promise<boolean> {
  const folder = join(context.folder, 'branch.git')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const { signal } = context
  const options = { folder, config: [], env: {}, maxFileBytes: 1024 ** 3, signal }
  const format = remote.advertisement.isSha256 ? ['--object-format=sha256'] : []
  await git(['init', '--quiet', '--bare', '--template=', ...format], options, text)
  const access = { ...options, ...remote.access }
  const few = ['--no-tags', '--no-write-fetch-head', `--depth=${LAST_COMMITS}`, '--filter=tree:0']
  const from = ['--', remote.url, `+${sha}:refs/heads/branch`]
  await git(['fetch', '--quiet', ...few, ...from], access, text)
  const value = '--format=%(trailers:key=Errand-Task,valueonly)'
  const output = await git(['log', `--max-count=${LAST_COMMITS}`, value, sha], options, text)
  return output.split('\n').some((line) => line.trim() === task)
}
