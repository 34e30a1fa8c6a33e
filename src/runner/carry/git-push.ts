import { text } from 'node:stream/consumers'
import { GitFailure, git } from '../git/git-program.ts'
import { GitRefused, hintOf, refusalOf, withRetries } from '../git/git-words.ts'
import type { Remote } from '../git/remote.ts'

export interface PushAsk {
  /** Our repository that has the commits. */
  folder: string
  branch: string
  tip: string
  /** The commit of the branch when it was looked at; empty: there was none. */
  expected: string
  /** `lease`: commits of the branch may go, where it is still as it was when looked at. */
  force: 'never' | 'lease'
  retries: number
}

export interface PushContext {
  /** Asks the repository what it has, each time anew. */
  open(): Promise<Remote>
  /** Called before anything is sent there. Throws for what must not be. */
  check(remote: Remote): Promise<void>
  signal: AbortSignal
  /** Called before each part begins. */
  phase(name: 'look' | 'push' | 'verify', message: string): void
  tell(message: string): void
  pause(ms: number, signal: AbortSignal): Promise<void>
}

export interface Pushed {
  sha: string
  branch: string
  forced: boolean
  /** The branch had the commit already. */
  before: boolean
}

export const MAX_FILE_BYTES = 4 * 1024 ** 3

/**
 * Makes the branch that commit, once: begun again at whatever point, it looks first at what there is. What stands there and is not
 * a part of the commits is never lost, but by a lease that was asked for. Throws `GitRefused`.
 */
export async function pushBranch(ask: PushAsk, context: PushContext): Promise<Pushed> {
  await checkBranch(ask, context)
  const { retries } = ask
  const { signal, tell, pause } = context
  return await withRetries(() => pushOnce(ask, context), { retries, signal, tell, pause })
}

async function pushOnce(ask: PushAsk, context: PushContext): Promise<Pushed> {
  const { branch, tip } = ask
  context.phase('look', `${branch} is to be ${tip}`)
  const remote = await context.open()
  const now = shaOf(remote, branch)
  if (branch === remote.advertisement.defaultBranch)
    throw new GitRefused(
      'protected_branch',
      `${JSON.stringify(branch)} is the default branch of the repository.`,
      {
        hint: 'Push to another branch, and open a pull request from there.',
      },
    )
  if (now === tip) return { sha: tip, branch, forced: false, before: true }
  const forced = await checkMove(ask, context, now)
  await context.check(remote)
  context.phase('push', `${branch}: ${now === '' ? 'new' : now} → ${tip}`)
  try {
    await push(ask, context, remote, now)
  } catch (error) {
    const refusal = refusalOf(error, `${JSON.stringify(branch)} cannot be pushed`, 'push_refused')
    // An earlier one may have come through after all, and its answer not.
    const mayBeThere =
      refusal instanceof GitRefused && ['branch_moved', 'push_refused'].includes(refusal.reason)
    if (mayBeThere && shaOf(await context.open(), branch) === tip)
      return { sha: tip, branch, forced, before: true }
    throw refusal instanceof GitRefused && refusal.reason === 'repo_auth' ? denied(refusal) : refusal
  }
  context.phase('verify', branch)
  const after = shaOf(await context.open(), branch)
  if (after === '')
    throw new GitRefused(
      'push_refused',
      `The server took the push, and has no branch ${JSON.stringify(branch)}.`,
      {
        hint: hintOf('push_refused'),
      },
    )
  if (after !== tip) context.tell(`${branch} was pushed, and somebody has moved it to ${after} since.`)
  return { sha: tip, branch, forced, before: false }
}

/** The repository could be read a moment ago, with the same token. */
const denied = (refusal: GitRefused) =>
  new GitRefused('push_denied', refusal.message, { hint: hintOf('push_denied'), cause: refusal })

/** The commit of a branch; empty: there is no such branch. */
export const shaOf = (remote: Remote, branch: string): string =>
  remote.advertisement.refs.get(`refs/heads/${branch}`) ?? ''

async function checkBranch({ folder, branch }: PushAsk, { signal }: PushContext): Promise<void> {
  const isGood = await ourGit(['check-ref-format', `refs/heads/${branch}`], folder, signal).then(
    () => !branch.startsWith('-'),
    (error: unknown) => {
      if (error instanceof GitFailure) return false
      throw error
    },
  )
  if (!isGood)
    throw new GitRefused('push_refused', `${JSON.stringify(branch)} is no name of a branch.`, {
      hint: 'Give branch_name another one: letters, digits, "/", "-" and ".".',
    })
}

/** Whether something is lost by it. Throws `branch_moved` where that was not asked for. */
async function checkMove(
  { folder, branch, tip, expected, force }: PushAsk,
  { signal }: PushContext,
  now: string,
): Promise<boolean> {
  const moved = (why: string) =>
    new GitRefused('branch_moved', `The branch ${JSON.stringify(branch)} ${why}.`, {
      hint: 'Try the task again: it begins at what is there now. The commits so far are kept as an artifact.',
    })
  if (now === '' && expected !== '') throw moved('is gone: somebody has deleted it')
  if (now === '') return false
  const isBelow = await ourGit(['merge-base', '--is-ancestor', now, tip], folder, signal).then(
    () => true,
    (error: unknown) => {
      if (error instanceof GitFailure) return false
      throw error
    },
  )
  if (isBelow) return false
  if (force === 'lease' && now === expected) return true
  throw moved(
    now === expected ? 'has commits that are not among these' : `has been moved to ${now} meanwhile`,
  )
}

/** A lease alone would let commits be lost: what it may be has been looked at by `checkMove`. */
async function push(
  { folder, branch, tip }: PushAsk,
  { signal, tell }: PushContext,
  remote: Remote,
  now: string,
): Promise<void> {
  const { config, env, credential } = remote.access
  const ref = `refs/heads/${branch}`
  const args = [
    ...['push', '--porcelain', '--no-verify', '--no-follow-tags', '--no-signed', '--recurse-submodules=no'],
    ...[`--force-with-lease=${ref}:${now}`, '--', remote.url, `${tip}:${ref}`],
  ]
  const options = { folder, config, env, credential, signal, maxFileBytes: MAX_FILE_BYTES }
  const said: string[] = []
  const progress = (line: string) => {
    said.push(line)
    if (line.startsWith('remote: ')) tell(line)
  }
  // What became of the branch it says at its standard output.
  let told = ''
  const read = async (output: Parameters<typeof text>[0]) => {
    told = await text(output)
  }
  try {
    await git(args, { ...options, progress }, read)
  } catch (error) {
    if (!(error instanceof GitFailure)) throw error
    const refused = told.split('\n').filter((line) => line.startsWith('!'))
    const last = refused.length > 0 ? refused.at(-1)!.split('\t').slice(2).join(' ') : error.said
    const words = error.lines.filter((line) => line.startsWith('remote: '))
    throw new GitFailure([...error.lines, ...refused], [last, ...words].join(' ').slice(0, 600), error.end)
  }
}

const ourGit = (args: readonly string[], folder: string, signal: AbortSignal): Promise<string> =>
  git(
    args,
    { folder, signal, config: [], env: { GIT_ALLOW_PROTOCOL: 'none' }, maxFileBytes: MAX_FILE_BYTES },
    text,
  )
